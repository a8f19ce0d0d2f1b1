/// \file inputfiles.h
/// The files of a sample.
#ifndef M3L_INPUTFILES_H
#define M3L_INPUTFILES_H

#include <string>
#include <vector>

namespace m3l
{

/// A file of a sample.
struct InputFile {
   std::string path;
   long long entries;
   // As in DatasetInfo, to be found again when the file is opened.
   std::string uuid = ""; ///< empty for any
   long long size = -1;   ///< in bytes, negative for any
};

/// The files of a sample, and which of their entries are read.
struct Dataset {
   std::string tree; ///< name of the TTree or RNTuple
   std::vector<InputFile> files;
   long long begin, end; ///< counted over all files; end < 0 reads all
   bool dropBad = false; ///< leave out events with bad values, which else end the event loop
   std::vector<std::string> columns{}; ///< branches that are read beside those of the chain

   void addFile(const std::string &path, long long entries, const std::string &uuid = "",
                long long size = -1)
   {
      files.push_back({path, entries, uuid, size});
   }
};

} // namespace m3l

#endif
