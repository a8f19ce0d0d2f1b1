#include "detectors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace m3l
{

namespace
{

constexpr double kSmallest = 1e-30; // mean squared error of which a logarithm is taken
constexpr double kPi = 3.14159265358979323846;

void require(bool good, const std::string &what)
{
   if (!good)
      throw std::invalid_argument(what + ": the numbers do not fit each other");
}

/// A score that is a function, which is kept with all that it has captured.
template <typename F>
class FunctionScore final : public Score
{
public:
   explicit FunctionScore(F function)
      : fFunction(std::move(function))
   {
   }
   double operator()(const float *x) const override { return fFunction(x); }

private:
   F fFunction;
};

template <typename F>
ScorePtr scoreOf(F function)
{
   return std::make_shared<const FunctionScore<F>>(std::move(function));
}

/// Between knots a line, beyond them the last value.
double interpolated(double value, const double *x, const double *y, std::size_t size)
{
   if (!(value > x[0]))
      return y[0];
   if (value >= x[size - 1])
      return y[size - 1];
   const std::size_t above = std::upper_bound(x, x + size, value) - x;
   const std::size_t below = above - 1;
   return y[below] + (y[above] - y[below]) / (x[above] - x[below]) * (value - x[below]);
}

struct Node {
   double threshold, value;
   int feature, left, right;
};

struct Forest {
   std::vector<Node> nodes;
   Places roots, output;
   int outputs;
   double factor;

   double operator()(const float *x) const
   {
      Doubles sums(outputs);
      for (std::size_t tree = 0; tree < roots.size(); ++tree) {
         int at = roots[tree];
         while (nodes[at].left != at)
            at = double(x[nodes[at].feature]) <= nodes[at].threshold ? nodes[at].left
                                                                     : nodes[at].right;
         sums[output[tree]] += nodes[at].value;
      }
      return factor * *std::max_element(sums.begin(), sums.end());
   }
};

/// A coordinate as a normal quantile; beyond the last knots, the slope of the last tenth goes on.
struct Coordinate {
   int input;
   Doubles knots;
   double up, down;

   double operator()(const float *x, const Doubles &quantiles) const
   {
      const double value = x[input];
      return interpolated(value, knots.data(), quantiles.data(), knots.size()) +
             std::max(value - knots.back(), 0.) * up + std::min(value - knots.front(), 0.) * down;
   }
};

struct Mixture {
   std::vector<Coordinate> coordinates;
   Doubles quantiles, means, whitening, offsets; ///< offsets: logarithms of the densities at a mean

   double operator()(const float *x) const
   {
      const std::size_t n = coordinates.size();
      Doubles z(n), white(n), parts;
      for (std::size_t i = 0; i < n; ++i)
         z[i] = coordinates[i](x, quantiles);
      for (std::size_t k = 0; k < offsets.size(); ++k) {
         std::fill(white.begin(), white.end(), 0.);
         for (std::size_t i = 0; i < n; ++i) {
            const double distance = z[i] - means[k * n + i];
            for (std::size_t j = 0; j < n; ++j)
               white[j] += distance * whitening[(k * n + i) * n + j];
         }
         double square = 0.;
         for (const double each : white)
            square += each * each;
         parts.push_back(offsets[k] - 0.5 * square);
      }
      const double largest = *std::max_element(parts.begin(), parts.end());
      double sum = 0.;
      for (const double part : parts)
         sum += std::exp(part - largest);
      return -largest - std::log(sum);
   }
};

struct Principal {
   Places inputs;
   Doubles mean, factor, axes;

   double operator()(const float *x) const
   {
      const std::size_t n = inputs.size(), components = axes.size() / n;
      Doubles z(n), along(components);
      for (std::size_t i = 0; i < n; ++i) {
         z[i] = (x[inputs[i]] - mean[i]) * factor[i];
         for (std::size_t k = 0; k < components; ++k)
            along[k] += z[i] * axes[i * components + k];
      }
      double sum = 0.;
      for (std::size_t i = 0; i < n; ++i) {
         double rebuilt = 0.;
         for (std::size_t k = 0; k < components; ++k)
            rebuilt += along[k] * axes[i * components + k];
         sum += (z[i] - rebuilt) * (z[i] - rebuilt);
      }
      return std::log10(std::max(sum / n, kSmallest));
   }
};

struct Distance {
   Places inputs, sizes;
   Doubles mean, factor, kernels;
   unsigned depth;
   double slope, target;

   double operator()(const float *x) const
   {
      Doubles start;
      for (std::size_t i = 0; i < inputs.size(); ++i)
         start.push_back((std::log1p(std::abs(double(x[inputs[i]]))) - mean[i]) * factor[i]);
      double distances = 0.;
      const double *kernel = kernels.data();
      for (std::size_t first = 0; first < sizes.size(); first += depth) {
         Doubles y = start;
         for (unsigned layer = 0; layer < depth; ++layer) {
            Doubles next(sizes[first + layer]);
            for (const double each : y)
               for (double &sum : next)
                  sum += each * *kernel++;
            if (layer + 1 < depth)
               for (double &each : next)
                  each = each > 0. ? each : slope * each;
            y.swap(next);
         }
         double sum = 0.;
         for (const double each : y)
            sum += (each - target) * (each - target);
         distances += sum / y.size();
      }
      return std::log10(std::max(distances / (sizes.size() / depth), kSmallest));
   }
};

} // namespace

Doubles numbersAt(const double *values, std::size_t size)
{
   return {values, values + size};
}

Places placesAt(const int *values, std::size_t size)
{
   return {values, values + size};
}

ScorePtr constantScore(double value)
{
   return scoreOf([value](const float *) { return value; });
}

ScorePtr inputScore(int place)
{
   return scoreOf([place](const float *x) { return double(x[place]); });
}

ScorePtr sumScore(double factor, const std::vector<ScorePtr> &parts)
{
   return scoreOf([factor, parts](const float *x) {
      double sum = 0.;
      for (const ScorePtr &part : parts)
         sum += (*part)(x);
      return factor * sum;
   });
}

ScorePtr largestScore(const std::vector<ScorePtr> &parts)
{
   require(!parts.empty(), "largestScore");
   return scoreOf([parts](const float *x) {
      double largest = -std::numeric_limits<double>::infinity();
      for (const ScorePtr &part : parts)
         largest = std::max(largest, (*part)(x));
      return largest;
   });
}

ScorePtr powerScore(const ScorePtr &exponent)
{
   return scoreOf([exponent](const float *x) { return std::exp2((*exponent)(x)); });
}

ScorePtr roundedScore(const ScorePtr &score)
{
   return scoreOf([score](const float *x) { return double(float((*score)(x))); });
}

ScorePtr topologyScore(const Places &inputs, double window, const std::vector<ScorePtr> &cases)
{
   require(inputs.size() == 3 && cases.size() == 6, "topologyScore");
   return scoreOf([inputs, window, cases](const float *x) {
      const int group = x[inputs[0]] == 0 ? 0 : x[inputs[1]] < window ? 2 : 1;
      return (*cases[2 * group + (x[inputs[2]] > 0)])(x);
   });
}

ScorePtr forestScore(const Places &feature, const Doubles &threshold, const Places &left,
                     const Places &right, const Doubles &value, const Places &roots,
                     const Places &output, double factor)
{
   const int nodes = int(feature.size());
   bool good = roots.size() == output.size() && threshold.size() == feature.size() &&
               left.size() == feature.size() && right.size() == feature.size() &&
               value.size() == feature.size();
   Forest forest{{}, roots, output, 1, factor};
   for (int n = 0; good && n < nodes; ++n) {
      const bool leaf = left[n] == n && right[n] == n;
      good = leaf || (left[n] > n && left[n] < nodes && right[n] > n && right[n] < nodes);
      forest.nodes.push_back({threshold[n], value[n], feature[n], left[n], right[n]});
   }
   for (std::size_t tree = 0; good && tree < roots.size(); ++tree) {
      good = roots[tree] >= 0 && roots[tree] < nodes && output[tree] >= 0;
      forest.outputs = std::max(forest.outputs, output[tree] + 1);
   }
   require(good, "forestScore");
   return scoreOf(std::move(forest));
}

ScorePtr survivalScore(const Doubles &x, const Doubles &y, const Doubles &tail,
                       const ScorePtr &score)
{
   require(!x.empty() && x.size() == y.size() && tail.size() == 3, "survivalScore");
   return scoreOf(
      [x, y, start = tail[0], atStart = tail[1], slope = tail[2], score](const float *event) {
         const double value = (*score)(event);
         const double inside = interpolated(value, x.data(), y.data(), x.size());
         return value > start ? atStart + slope * (value - start) : inside;
      });
}

ScorePtr mixtureScore(const Places &inputs, const Doubles &quantiles, const Doubles &knots,
                      const Doubles &means, const Doubles &whitening, const Doubles &shares)
{
   const std::size_t n = inputs.size(), number = quantiles.size(), tenth = number / 10;
   require(n > 0 && tenth > 0 && !shares.empty() && knots.size() == n * number &&
              means.size() == n * shares.size() && whitening.size() == n * n * shares.size(),
           "mixtureScore");
   Mixture mixture{{}, quantiles, means, whitening, {}};
   for (std::size_t i = 0; i < n; ++i) {
      const Doubles at(knots.begin() + i * number, knots.begin() + (i + 1) * number);
      const double up = (quantiles[number - 1] - quantiles[number - 1 - tenth]) /
                        std::max(at[number - 1] - at[number - 1 - tenth], 1e-9);
      const double down = (quantiles[tenth] - quantiles[0]) / std::max(at[tenth] - at[0], 1e-9);
      mixture.coordinates.push_back({inputs[i], at, up, down});
   }
   for (std::size_t k = 0; k < shares.size(); ++k) {
      double volume = -0.5 * n * std::log(2 * kPi);
      for (std::size_t i = 0; i < n; ++i)
         volume += std::log(whitening[(k * n + i) * n + i]);
      mixture.offsets.push_back(std::log(shares[k]) + volume);
   }
   return scoreOf(std::move(mixture));
}

ScorePtr principalScore(const Places &inputs, const Doubles &mean, const Doubles &factor,
                        const Doubles &axes)
{
   const std::size_t n = inputs.size();
   require(n > 0 && mean.size() == n && factor.size() == n && axes.size() % n == 0,
           "principalScore");
   return scoreOf(Principal{inputs, mean, factor, axes});
}

ScorePtr distanceScore(const Places &inputs, const Doubles &mean, const Doubles &factor,
                       const Places &sizes, unsigned depth, const Doubles &kernels, double slope,
                       double target)
{
   const std::size_t n = inputs.size();
   bool good = depth > 0 && !sizes.empty() && sizes.size() % depth == 0 && mean.size() == n &&
               factor.size() == n;
   std::size_t needed = 0;
   for (std::size_t k = 0; good && k < sizes.size(); ++k) {
      good = sizes[k] > 0;
      needed += std::size_t(sizes[k]) * (k % depth ? sizes[k - 1] : n);
   }
   require(good && kernels.size() == needed, "distanceScore");
   return scoreOf(Distance{inputs, sizes, mean, factor, kernels, depth, slope, target});
}

} // namespace m3l
