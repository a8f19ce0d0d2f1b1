/// \file branchreader.h
/// Reading a branch block by block instead of entry by entry.
#ifndef M3L_BRANCHREADER_H
#define M3L_BRANCHREADER_H

#include "engine/compiledchain.h"
#include "engine/openfile.h"

#include <memory>
#include <string>
#include <typeinfo>

namespace m3l
{

/// A reader of a branch of the files that `file` opens one after the other.
///
/// ROOT reads a branch with several function calls per entry, which takes longer than decompressing
/// it. Here a block, the basket of a TTree or the page of an RNTuple, is decompressed when one of
/// its entries is asked for first, and what is decoded is the entries that are asked for.
/// \param isTree   whether the files hold TTrees, else RNTuples
/// \param content  of the branch in the first file
/// \return null if `wanted` is a type that is stored otherwise
std::unique_ptr<BranchReader> makeReader(OpenFile &file, bool isTree, const std::string &branch,
                                         const BranchContent &content,
                                         const std::type_info &wanted);

} // namespace m3l

#endif
