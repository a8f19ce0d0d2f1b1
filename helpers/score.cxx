#include "kept.h"
#include "score.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace m3l
{

namespace
{

struct Model {
   unsigned inputs;
   std::vector<ScorePtr> scores;
};

Kept<double, Model> models;

} // namespace

void keepModel(double key, unsigned inputs, std::vector<ScorePtr> scores)
{
   const bool bad = std::any_of(scores.begin(), scores.end(), [](auto &score) { return !score; });
   if (scores.empty() || bad)
      throw std::invalid_argument("keepModel: no scores");
   if (!models.add(key, {inputs, std::move(scores)}))
      throw std::invalid_argument("keepModel: there is a model with this key");
}

bool hasModel(double key)
{
   return models.find(key);
}

double anomalyScore(double key, const std::vector<float> &x, std::int64_t datasetNumber,
                    std::int64_t runNumber, std::int64_t eventNumber)
{
   const Model *model = models.find(key);
   if (!model)
      throw std::invalid_argument("anomalyScore: this process does not know the model");
   if (x.size() != model->inputs)
      throw std::invalid_argument("anomalyScore: " + std::to_string(x.size()) + " inputs, not " +
                                  std::to_string(model->inputs));
   const int fold = foldOf(datasetNumber, runNumber, eventNumber, int(model->scores.size()));
   return (*model->scores[fold])(x.data());
}

} // namespace m3l
