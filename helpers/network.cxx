#include "network.h"

#include "arrays.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <stdexcept>

// The same loop for processors with wider registers, chosen when the library is loaded. Each output
// adds its terms in the same order in both, so that they round alike.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define M3L_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define M3L_WIDE
#endif

namespace m3l
{

namespace
{

/// out_j += sum_i in_i weight_ij
M3L_WIDE void addProduct(const float *in, unsigned inputs, const float *weights, float *out,
                         unsigned units)
{
   for (unsigned i = 0; i < inputs; ++i) {
      const float x = in[i];
      const float *row = weights + std::size_t(i) * units;
      for (unsigned j = 0; j < units; ++j)
         out[j] += x * row[j];
   }
}

void activate(std::vector<float> &values, const Network::Layer &layer)
{
   using Activation = Network::Activation;
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

} // namespace

Network::Network(const std::string &path, std::vector<int> log, std::vector<Layer> layers,
                 std::vector<std::vector<int>> least, double smallestError, std::vector<int> cells)
   : fLog(std::move(log)),
     fLayers(std::move(layers)),
     fLeast(std::move(least)),
     fSmallestError(smallestError),
     fCells(std::move(cells))
{
   const std::size_t n = fLog.size();
   bool good = n > 0 && !fLayers.empty() && fLayers.front().inputs == n &&
               fLayers.back().units == n && (fLeast.empty() || fLeast.size() == n) &&
               (fCells.empty() || fCells.size() == n);
   for (std::size_t i = 1; i < fLayers.size(); ++i)
      good = good && fLayers[i].inputs == fLayers[i - 1].units;
   if (!good)
      throw std::invalid_argument("Network: the layers do not fit each other and " +
                                  std::to_string(n) + " features");

   std::ifstream file(path, std::ios::binary);
   const auto read = [&](std::size_t size) {
      std::vector<float> values(size);
      if (!file.read(reinterpret_cast<char *>(values.data()), size * sizeof(float)))
         throw std::runtime_error("Network: " + path + " cannot be read or is too short");
      return values;
   };
   fShift = read(n);
   fFactor = read(n);
   for (const Layer &layer : fLayers) {
      fWeights.push_back(read(std::size_t(layer.inputs) * layer.units));
      fBiases.push_back(read(layer.units));
   }
   if (file.get() != std::ifstream::traits_type::eof())
      throw std::runtime_error("Network: " + path + " is too long");
}

double Network::operator()(std::initializer_list<float> features,
                           std::initializer_list<int> counts) const
{
   return score(features, counts);
}

double Network::operator()(const ROOT::RVecF &matrix, std::initializer_list<float> scalars,
                           std::initializer_list<int> counts) const
{
   std::vector<float> features;
   features.reserve(fCells.size());
   auto scalar = scalars.begin();
   for (const int cell : fCells) {
      if (cell < 0 ? scalar == scalars.end() : std::size_t(cell) >= matrix.size())
         throw std::invalid_argument("Network: the matrix or the scalars lack values");
      features.push_back(cell < 0 ? *scalar++ : matrix[cell]);
   }
   if (scalar != scalars.end())
      throw std::invalid_argument("Network: too many scalars");
   return score(std::move(features), counts);
}

double Network::score(std::vector<float> scaled, std::initializer_list<int> counts) const
{
   const std::size_t n = fLog.size();
   if (scaled.size() != n)
      throw std::invalid_argument("Network: " + std::to_string(scaled.size()) + " features, not " +
                                  std::to_string(n));
   for (const auto &least : fLeast)
      requireOneLength("Network", counts, least);
   for (std::size_t f = 0; f < n; ++f) {
      if (fLog[f])
         scaled[f] = std::copysign(std::log1p(std::abs(scaled[f])), scaled[f]);
      scaled[f] = (scaled[f] - fShift[f]) * fFactor[f];
   }
   std::vector<float> values = scaled;
   for (std::size_t k = 0; k < fLayers.size(); ++k) {
      std::vector<float> next = fBiases[k];
      addProduct(values.data(), fLayers[k].inputs, fWeights[k].data(), next.data(),
                 fLayers[k].units);
      activate(next, fLayers[k]);
      values.swap(next);
   }
   double sum = 0.;
   unsigned used = 0;
   for (std::size_t f = 0; f < n; ++f) {
      if (!fLeast.empty() &&
          !std::equal(counts.begin(), counts.end(), fLeast[f].begin(), std::greater_equal<>()))
         continue;
      const double error = double(scaled[f]) - values[f];
      sum += error * error;
      ++used;
   }
   return std::log10(std::max(sum / std::max(1u, used), fSmallestError));
}

} // namespace m3l
