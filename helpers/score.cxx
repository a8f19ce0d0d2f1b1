#include "score.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace m3l
{

namespace
{

struct Model {
   double key;
   unsigned inputs;
   std::vector<ScorePtr> scores;
   const Model *before; ///< the one that was kept before
};

// A list that only grows, so that threads read it without waiting for each other.
std::atomic<const Model *> models{nullptr};
std::mutex growing;

const Model *find(double key)
{
   const Model *model = models.load(std::memory_order_acquire);
   while (model && model->key != key)
      model = model->before;
   return model;
}

} // namespace

void keepModel(double key, unsigned inputs, std::vector<ScorePtr> scores)
{
   const bool bad = std::any_of(scores.begin(), scores.end(), [](auto &score) { return !score; });
   if (scores.empty() || bad)
      throw std::invalid_argument("keepModel: no scores");
   const std::lock_guard<std::mutex> lock(growing);
   if (find(key))
      throw std::invalid_argument("keepModel: there is a model with this key");
   models.store(new Model{key, inputs, std::move(scores), models.load()},
                std::memory_order_release);
}

bool hasModel(double key)
{
   return find(key);
}

double anomalyScore(double key, const std::vector<float> &x, std::int64_t datasetNumber,
                    std::int64_t runNumber, std::int64_t eventNumber)
{
   const Model *model = find(key);
   if (!model)
      throw std::invalid_argument("anomalyScore: this process does not know the model");
   if (x.size() != model->inputs)
      throw std::invalid_argument("anomalyScore: " + std::to_string(x.size()) + " inputs, not " +
                                  std::to_string(model->inputs));
   const int fold = foldOf(datasetNumber, runNumber, eventNumber, int(model->scores.size()));
   return (*model->scores[fold])(x.data());
}

} // namespace m3l
