/// \file network.h
/// A trained autoencoder's score of an event, without Keras.
#ifndef M3L_NETWORK_H
#define M3L_NETWORK_H

#include <ROOT/RVec.hxx>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace m3l
{

/// Scores events with the numbers that `ml/network_files.py` writes beside a model; the formula and
/// the layout of the file are described there.
class Network
{
public:
   enum class Activation { kLinear, kRelu, kTanh, kSigmoid, kLeakyRelu };

   /// A dense layer.
   struct Layer {
      unsigned inputs, units;
      Activation activation;
      float slope; ///< of kLeakyRelu below 0
   };

   /// \param path   `network.bin`
   /// \param log    for each feature, whether log1p is taken before scaling
   /// \param layers in order, the last with as many units as there are features
   /// \param least  for each feature, the numbers of objects of each type that it needs; empty
   ///               where cells of missing objects count as well
   /// \param smallestError the mean squared error is raised to at least this
   /// \param cells  for each feature, which value of the matrix it is, or -1 for the next scalar
   /// \throws std::invalid_argument if the sizes do not fit each other
   /// \throws std::runtime_error if the file cannot be read or has another size
   Network(const std::string &path, std::vector<int> log, std::vector<Layer> layers,
           std::vector<std::vector<int>> least, double smallestError, std::vector<int> cells = {});

   /// log10 of the mean squared error over the features of an event.
   /// \param features  in the order of the network, as in the tables
   /// \param counts    numbers of objects of each type
   /// \throws std::invalid_argument for another number of features
   double operator()(std::initializer_list<float> features,
                     std::initializer_list<int> counts) const;

   /// The same from columns, for a network that was given its cells.
   /// \param matrix   all values of the matrix
   /// \param scalars  the features that are not in it, in the order of the network
   /// \throws std::invalid_argument for a matrix without those cells or another number of scalars
   double operator()(const ROOT::RVecF &matrix, std::initializer_list<float> scalars,
                     std::initializer_list<int> counts) const;

private:
   double score(std::vector<float> features, std::initializer_list<int> counts) const;

   std::vector<int> fLog;
   std::vector<Layer> fLayers;
   std::vector<std::vector<int>> fLeast;
   double fSmallestError;
   std::vector<int> fCells;
   std::vector<float> fShift, fFactor;
   std::vector<std::vector<float>> fWeights, fBiases;
};

/// Fold of an event from its identity, the same as `fold_of` in `ml/dataset.py`: the finaliser of
/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), applied to one number after the other.
inline int foldOf(std::int64_t datasetNumber, std::int64_t runNumber, std::int64_t eventNumber,
                  int folds)
{
   const auto mix = [](std::uint64_t z) {
      z += 0x9E3779B97F4A7C15;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
      return z ^ (z >> 31);
   };
   const std::uint64_t hash = mix(mix(mix(datasetNumber) ^ runNumber) ^ eventNumber);
   return int(hash % std::uint64_t(folds));
}

} // namespace m3l

#endif
