/// \file values.h
/// Columns of all types as one type, so that many are read of an event without compiling much.
#ifndef M3L_VALUES_H
#define M3L_VALUES_H

#include <ROOT/RDF/RInterface.hxx>
#include <ROOT/RResultPtr.hxx>
#include <ROOT/RVec.hxx>

#include <string>
#include <type_traits>
#include <vector>

namespace m3l
{

/// The value of a column in an event.
struct Value {
   bool isList = false;  ///< an array, not one number
   long long whole = 0;  ///< one whole number, exactly
   ROOT::RVecD values{}; ///< the number or those of the array; none for what is not made of numbers
};

/// Values of several columns in an event.
using EventValues = std::vector<Value>;

template <typename T>
Value valueOf(const T &value)
{
   if constexpr (std::is_integral_v<T>)
      return {false, static_cast<long long>(value), {double(value)}};
   else if constexpr (std::is_floating_point_v<T>)
      return {false, 0, {double(value)}};
   else
      return {true};
}

template <typename T>
Value valueOf(const ROOT::RVec<T> &values)
{
   if constexpr (std::is_arithmetic_v<T>)
      return {true, 0, ROOT::RVecD(values.begin(), values.end())};
   else
      return {true};
}

/// The values of a column of type EventValues in all events that reach a node of a graph.
ROOT::RDF::RResultPtr<std::vector<EventValues>> takeValues(ROOT::RDF::RNode node,
                                                           const std::string &column);

} // namespace m3l

#endif
