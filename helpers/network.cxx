#include "network.h"
#include "wide.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <utility>

namespace m3l
{

namespace
{

enum class Activation { kLinear, kRelu, kTanh, kSigmoid, kLeakyRelu };

struct Layer {
   Activation activation;
   float slope; ///< of kLeakyRelu below 0
   std::vector<float> weights, biases;
};

Activation activationOf(const std::string &name)
{
   const std::vector<std::string> names{"linear", "relu", "tanh", "sigmoid", "leaky_relu"};
   const auto found = std::find(names.begin(), names.end(), name);
   if (found == names.end())
      throw std::invalid_argument("networkScore: no activation is called " + name);
   return Activation(found - names.begin());
}

/// out_j += sum_i in_i weight_ij, each with its terms in order
M3L_WIDE("avx512f", "avx2")
void addProduct(const float *in, unsigned inputs, const float *weights, float *out, unsigned units)
{
   for (unsigned i = 0; i < inputs; ++i) {
      const float x = in[i];
      const float *row = weights + std::size_t(i) * units;
      for (unsigned j = 0; j < units; ++j)
         out[j] += x * row[j];
   }
}

void activate(std::vector<float> &values, const Layer &layer)
{
   switch (layer.activation) {
   case Activation::kLinear:
      break;
   case Activation::kRelu:
      for (float &x : values)
         x = std::max(x, 0.f);
      break;
   case Activation::kTanh:
      for (float &x : values)
         x = std::tanh(x);
      break;
   case Activation::kSigmoid:
      for (float &x : values)
         x = 1.f / (1.f + std::exp(-x));
      break;
   case Activation::kLeakyRelu:
      for (float &x : values)
         x = x < 0.f ? x * layer.slope : x;
      break;
   }
}

class NetworkScore final : public Score
{
public:
   Places fFeatures, fCounts, fLog, fLeast;
   double fSmallestError;
   std::vector<float> fShift, fFactor;
   std::vector<Layer> fLayers;

   double operator()(const float *x) const override
   {
      const std::size_t n = fFeatures.size();
      std::vector<float> scaled(n);
      for (std::size_t f = 0; f < n; ++f) {
         const float value = x[fFeatures[f]];
         const float tamed = fLog[f] ? std::copysign(std::log1p(std::abs(value)), value) : value;
         scaled[f] = (tamed - fShift[f]) * fFactor[f];
      }
      std::vector<float> values = scaled;
      for (const Layer &layer : fLayers) {
         std::vector<float> next = layer.biases;
         addProduct(values.data(), values.size(), layer.weights.data(), next.data(), next.size());
         activate(next, layer);
         values.swap(next);
      }
      double sum = 0.;
      unsigned used = 0;
      for (std::size_t f = 0; f < n; ++f) {
         if (!isThere(f, x))
            continue;
         const double error = double(scaled[f]) - values[f];
         sum += error * error;
         ++used;
      }
      return std::log10(std::max(sum / std::max(1u, used), fSmallestError));
   }

private:
   /// Whether the event has the objects that a feature needs.
   bool isThere(std::size_t feature, const float *x) const
   {
      if (fLeast.empty())
         return true;
      for (std::size_t type = 0; type < fCounts.size(); ++type)
         if (x[fCounts[type]] < fLeast[feature * fCounts.size() + type])
            return false;
      return true;
   }
};

} // namespace

ScorePtr networkScore(const Places &features, const Places &counts, const Places &log,
                      const Places &units, const std::vector<std::string> &activations,
                      const Doubles &slopes, const Places &least, double smallestError,
                      const Doubles &numbers)
{
   const std::size_t n = features.size();
   bool good = n > 0 && log.size() == n && !units.empty() && std::size_t(units.back()) == n &&
               activations.size() == units.size() && slopes.size() == units.size() &&
               (least.empty() || least.size() == n * counts.size());
   std::size_t needed = 2 * n, inputs = n;
   for (std::size_t k = 0; good && k < units.size(); ++k) {
      good = units[k] > 0;
      needed += (inputs + 1) * std::size_t(units[k]);
      inputs = units[k];
   }
   if (!good || numbers.size() != needed)
      throw std::invalid_argument(
         "networkScore: the layers and numbers do not fit each other and " + std::to_string(n) +
         " features");
   auto next = numbers.begin();
   const auto take = [&](std::size_t size) {
      next += size;
      return std::vector<float>(next - size, next);
   };
   auto score = std::make_shared<NetworkScore>();
   score->fFeatures = features;
   score->fCounts = counts;
   score->fLog = log;
   score->fLeast = least;
   score->fSmallestError = smallestError;
   score->fShift = take(n);
   score->fFactor = take(n);
   inputs = n;
   for (std::size_t k = 0; k < units.size(); ++k) {
      Layer layer{activationOf(activations[k]), float(slopes[k]), take(inputs * units[k]), {}};
      layer.biases = take(units[k]);
      score->fLayers.push_back(std::move(layer));
      inputs = units[k];
   }
   return score;
}

} // namespace m3l
