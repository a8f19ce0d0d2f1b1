/// \file blosc.h
/// Compressing pieces of a table.
#ifndef M3L_BLOSC_H
#define M3L_BLOSC_H

#include <cstddef>
#include <vector>

namespace m3l
{

/// Compresses bytes into what the HDF5 filter "blosc" with LZ4 reads.
///
/// The filter itself cuts a chunk into small blocks, which takes longer and more space for rows
/// that are mostly zero. Here a chunk is one block. Format:
/// https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
/// \param hasZeros  whether these are numbers of 32 bits of which many are zero; else ROOT looks
/// for
///                  what repeats
/// \throws std::invalid_argument for more than 16 MB
std::vector<unsigned char> bloscChunk(const unsigned char *bytes, std::size_t size, bool hasZeros);

} // namespace m3l

#endif
