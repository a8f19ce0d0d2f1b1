/// \file detectors.h
/// The parts that the scores of detectors are put together from, see score.h.
///
/// They compute what `ml/detectors` computes with the same numbers; the arrays are described in
/// docs/formats.md. Matrices stand row by row. Inputs are given by their places among those of the
/// model. Whoever calls has looked at the numbers; only sizes and trees are checked here.
#ifndef M3L_DETECTORS_H
#define M3L_DETECTORS_H

#include "score.h"

#include <cstddef>
#include <vector>

namespace m3l
{

using Doubles = std::vector<double>;
using Places = std::vector<int>;

/// The numbers at an address.
Doubles numbersAt(const double *values, std::size_t size);
Places placesAt(const int *values, std::size_t size);

/// The same for every event.
ScorePtr constantScore(double value);

/// An input itself.
ScorePtr inputScore(int place);

/// A factor times the sum of other scores.
ScorePtr sumScore(double factor, const std::vector<ScorePtr> &parts);

/// The largest of other scores.
ScorePtr largestScore(const std::vector<ScorePtr> &parts);

/// 2 to the power of another score.
ScorePtr powerScore(const ScorePtr &exponent);

/// Another score, rounded to 32 bits as in files.
ScorePtr roundedScore(const ScorePtr &score);

/// The score of the event's topology.
/// \param inputs  places of the number of OSSF pairs, the distance from the Z, the number of b-jets
/// \param window  distance from the Z below which a pair is at the Z
/// \param cases   without OSSF pair, away from the Z, at the Z; for each without and with b-jets
ScorePtr topologyScore(const Places &inputs, double window, const std::vector<ScorePtr> &cases);

/// Trees, of which each adds to one of several outputs: a factor times the largest output.
///
/// A node sends an event to the left if its feature is at most the threshold; a leaf is its own
/// child, all other children stand behind their parents.
/// \param feature  for each node the place of an input
/// \param value    for each node, what the tree adds where it ends there
/// \param roots    for each tree its first node
/// \param output   for each tree what it adds to
ScorePtr forestScore(const Places &feature, const Doubles &threshold, const Places &left,
                     const Places &right, const Doubles &value, const Places &roots,
                     const Places &output, double factor);

/// Minus the logarithm of the share of the background in which another score is at least as large.
/// \param x     rising values
/// \param y     minus the logarithm there, between which it is interpolated
/// \param tail  start of the exponential tail, value there and slope
ScorePtr survivalScore(const Doubles &x, const Doubles &y, const Doubles &tail,
                       const ScorePtr &score);

/// Minus the logarithm of the density of a Gaussian mixture of transformed inputs.
/// \param quantiles  of a normal distribution, which the knots become
/// \param knots      (inputs, quantiles) rising values
/// \param means      (components, inputs)
/// \param whitening  (components, inputs, inputs): (z - mean) * whitening has unit covariance
/// \param shares     of the components
ScorePtr mixtureScore(const Places &inputs, const Doubles &quantiles, const Doubles &knots,
                      const Doubles &means, const Doubles &whitening, const Doubles &shares);

/// log10 of the mean squared error of what principal components rebuild.
/// \param axes  (inputs, components)
ScorePtr principalScore(const Places &inputs, const Doubles &mean, const Doubles &factor,
                        const Doubles &axes);

/// log10 of the mean over networks without biases of the mean squared distance from a target.
/// Their input is log(1 + |x|), standardised.
/// \param sizes    for each network, one after the other, the widths of its layers behind the input
/// \param depth    number of these
/// \param kernels  (inputs, outputs) of each layer, one after the other
/// \param slope    of the activation below 0; the last layer has none
ScorePtr distanceScore(const Places &inputs, const Doubles &mean, const Doubles &factor,
                       const Places &sizes, unsigned depth, const Doubles &kernels, double slope,
                       double target);

} // namespace m3l

#endif
