/// \file score.h
/// The anomaly score of an event by a trained model, of whatever kind.
///
/// A model is put together at run time, from what its files hold: analysis/detector_scores.py says
/// how, with the parts of detectors.h and network.h. Compiled code knows a model by its key only,
/// so it stays as it is where a model moves or is trained again.
#ifndef M3L_SCORE_H
#define M3L_SCORE_H

#include "hash.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace m3l
{

/// A number of an event, larger for what is more anomalous.
class Score
{
public:
   virtual ~Score() = default;

   /// \param x  all inputs of the model, values as in the tables
   virtual double operator()(const float *x) const = 0;
};

/// Scores are parts of each other.
using ScorePtr = std::shared_ptr<const Score>;

/// Makes a model known to all threads of this process, for good.
/// \param key     a whole number that only equal models share
/// \param inputs  how many the scores take
/// \param scores  that of a single model, or one for each fold
/// \throws std::invalid_argument without scores, and for another model with the same key
void keepModel(double key, unsigned inputs, std::vector<ScorePtr> scores);

/// Whether a model is known.
bool hasModel(double key);

/// The score of an event by a model that is known. The fold of an event decides which of the scores
/// is asked: that of the model that has never seen it.
/// \param x  the inputs, in the order of the model
/// \throws std::invalid_argument for an unknown model and for another number of inputs
double anomalyScore(double key, const std::vector<float> &x, std::int64_t datasetNumber,
                    std::int64_t runNumber, std::int64_t eventNumber);

/// Fold of an event from its identity, the same as `fold_of` in `ml/dataset.py`: SplitMix64,
/// applied to one number after the other.
inline int foldOf(std::int64_t datasetNumber, std::int64_t runNumber, std::int64_t eventNumber,
                  int folds)
{
   const std::uint64_t hash =
      splitMix64(splitMix64(splitMix64(datasetNumber) ^ runNumber) ^ eventNumber);
   return int(hash % std::uint64_t(folds));
}

} // namespace m3l

#endif
