/// \file network.h
/// A trained autoencoder's score of an event, without Keras.
#ifndef M3L_NETWORK_H
#define M3L_NETWORK_H

#include "detectors.h"

#include <string>
#include <vector>

namespace m3l
{

/// log10 of the mean squared error over the features of an event, by the numbers that
/// `ml/network_files.py` writes beside a model; the formula and the file are described there.
/// \param features       places of the features among the inputs of the model
/// \param counts         places of the numbers of objects of each type
/// \param log            for each feature, whether log1p is taken before scaling
/// \param units          of each layer, in order, the last with as many as there are features
/// \param activations    of each layer: linear, relu, tanh, sigmoid or leaky_relu
/// \param slopes         of each layer, of leaky_relu below 0
/// \param least          (features, types) numbers of objects that a feature needs; empty where
/// cells
///                       of missing objects count as well
/// \param smallestError  the mean squared error is raised to at least this
/// \param numbers        the content of `network.bin`
/// \throws std::invalid_argument if the sizes do not fit each other
ScorePtr networkScore(const Places &features, const Places &counts, const Places &log,
                      const Places &units, const std::vector<std::string> &activations,
                      const Doubles &slopes, const Places &least, double smallestError,
                      const Doubles &numbers);

} // namespace m3l

#endif
