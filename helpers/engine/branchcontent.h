/// \file branchcontent.h
/// What the baskets of a branch hold.
#ifndef M3L_BRANCHCONTENT_H
#define M3L_BRANCHCONTENT_H

#include <RtypesCore.h>

#include <array>
#include <string>
#include <tuple>
#include <utility>

class TBranch;
class TTree;
namespace ROOT
{
class RNTupleDescriptor;
}

namespace m3l
{

/// Types of numbers that ROOT's leaves hold. Others, such as Double32_t, are stored otherwise.
using NumberTypes =
   std::tuple<bool, char, signed char, unsigned char, short, unsigned short, int, unsigned int,
              long, unsigned long, Long64_t, ULong64_t, float, double>;

/// Their names in ROOT and in C++.
constexpr std::array<std::pair<const char *, const char *>, std::tuple_size_v<NumberTypes>>
   kNumberNames = {{
      {"Bool_t", "bool"},
      {"Char_t", "char"},
      {"signed char", "signed char"},
      {"UChar_t", "unsigned char"},
      {"Short_t", "short"},
      {"UShort_t", "unsigned short"},
      {"Int_t", "int"},
      {"UInt_t", "unsigned int"},
      {"Long_t", "long"},
      {"ULong_t", "unsigned long"},
      {"Long64_t", "Long64_t"},
      {"ULong64_t", "ULong64_t"},
      {"Float_t", "float"},
      {"Double_t", "double"},
   }};

/// Calls a function with a number of each type and its name in C++.
template <typename F>
void forEachNumber(F &&f)
{
   std::apply([&, i = 0](auto... numbers) mutable { (f(numbers, kNumberNames[i++].second), ...); },
              NumberTypes());
}

/// The name in C++ for one of either; empty for another type.
std::string numberName(const std::string &name);

/// How the numbers of an entry are stored.
enum class Shape {
   number, ///< one
   array,  ///< a C array whose length is another branch
   vector  ///< a std::vector or a ROOT::VecOps::RVec, which are stored alike
};

/// What a branch holds.
struct BranchContent {
   Shape shape = Shape::number;
   std::string element; ///< C++ type of the numbers, empty for what cannot be decoded here
   std::string kind;    ///< "number", "array", "vector", "RVec", or ROOT's names for another one;
                        ///< of an RNTuple its type

   /// In RDataFrame; empty for what cannot be decoded here.
   std::string type() const;
};

BranchContent contentOf(TBranch &branch);

/// The same of a field of an RNTuple.
BranchContent contentOf(const ROOT::RNTupleDescriptor &ntuple, const std::string &field);

/// A branch of a tree itself, by its whole name; null where there is none. ROOT's own look-up also
/// finds those of friends, whose entries may be others.
TBranch *findBranch(TTree &tree, const std::string &name);

} // namespace m3l

#endif
