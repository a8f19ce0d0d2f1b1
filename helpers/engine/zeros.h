/// \file zeros.h
/// Which numbers are zero.
#ifndef M3L_ZEROS_H
#define M3L_ZEROS_H

#include <cstddef>
#include <cstdint>

namespace m3l
{

/// Finds the numbers of 32 bits of which a bit is set: all but +0.
/// \param numbers   n of them
/// \param nonZeros  gets a bit for each, and zeros up to a multiple of 64
void findNonZeros(const void *numbers, std::size_t n, std::uint64_t *nonZeros);

} // namespace m3l

#endif
