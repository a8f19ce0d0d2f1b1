/// \file eventloop.h
/// What the event loop of a graph counts and collects.
#ifndef M3L_EVENTLOOP_H
#define M3L_EVENTLOOP_H

#include "engine/cutflow.h"
#include "engine/rowstore.h"

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RResultHandle.hxx>
#include <ROOT/RResultPtr.hxx>
#include <ROOT/RVec.hxx>

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace m3l
{

/// Counts the events that reach a node of a graph, with the weight in a column.
/// \param cutflows    where to count without variation, then in each of `variations`
/// \param variations  names as RDataFrame has them
/// \param region, cut  which counter; region kAll or kDropped for those that have none
/// \return handles that must live until the event loop has run
std::vector<ROOT::RDF::RResultHandle> bookCounter(ROOT::RDF::RNode node, const Cutflows &cutflows,
                                                  const std::vector<std::string> &variations,
                                                  int region, int cut, const std::string &weight);
constexpr int kAll = -1, kDropped = -2;

/// A column of any type in an event, so that many are read without compiling much.
struct Value {
   bool isList = true;   ///< an array, or not made of numbers; else one number
   long long whole = 0;  ///< one whole number, exactly
   ROOT::RVecD values{}; ///< the number or those of the array
};
using EventValues = std::vector<Value>;

template <typename T>
Value valueOf(const T &value)
{
   if constexpr (std::is_arithmetic_v<T>)
      return {false, static_cast<long long>(std::is_integral_v<T> ? value : T{}), {double(value)}};
   else
      return {};
}

template <typename T>
Value valueOf(const ROOT::RVec<T> &values)
{
   if constexpr (std::is_arithmetic_v<T>)
      return {true, 0, ROOT::RVecD(values.begin(), values.end())};
   else
      return {};
}

/// The values of a column of EventValues in all events that reach a node of a graph.
ROOT::RDF::RResultPtr<std::vector<EventValues>> takeValues(ROOT::RDF::RNode node,
                                                           const std::string &column);

/// The values of all matrices, one after the other.
std::vector<float> flattened(const std::vector<ROOT::RVecF> &matrices);

} // namespace m3l

#endif
