"""The same events in another kind of file.

    python -m tests.benchmarks.copies IN KIND COMPRESSION OUT

KIND: vector, RVec, array (C arrays whose length is another branch, as in NanoAOD) or RNTuple.
"""

import sys

import ROOT

ALGORITHMS = {"zlib": 1, "lzma": 2, "lz4": 4, "zstd": 5}  # ROOT's numbers
LEVEL = 5
CLUSTER = 25_000  # events

# A Snapshot makes RVec of vectors, whatever they were before.
ARRAYS = """
template <typename T>
struct Array {
   std::vector<T> *from = nullptr;
   T to[64];
};

struct Arrays {
   TTree &in, &out;
   std::map<std::string, std::pair<int, std::function<std::size_t()>>> lengths;
   std::deque<ULong64_t> numbers;
   std::deque<Array<float>> floats;
   std::deque<Array<int>> ints;
   std::deque<Array<bool>> bools;

   template <typename T>
   void add(std::deque<Array<T>> &arrays, const std::string &name, const char *letter)
   {
      const std::string length = "n_" + name.substr(0, 3); // of the leptons, the jets
      auto &array = arrays.emplace_back();
      const auto size = [&array] { return array.from->size(); };
      if (lengths.emplace(length, std::pair(0, size)).second)
         out.Branch(length.c_str(), &lengths[length].first, (length + "/I").c_str());
      in.SetBranchAddress(name.c_str(), &array.from);
      out.Branch(name.c_str(), array.to, (name + "[" + length + "]/" + letter).c_str());
   }

   template <typename T>
   void fill(std::deque<Array<T>> &arrays)
   {
      for (auto &array : arrays)
         std::copy(array.from->begin(), array.from->end(), array.to);
   }

   void copy()
   {
      for (TObject *object : *in.GetListOfBranches()) {
         auto &branch = static_cast<TBranch &>(*object);
         const std::string name = branch.GetName(), type = branch.GetClassName();
         if (type == "vector<float>") {
            add(floats, name, "F");
         } else if (type == "vector<int>") {
            add(ints, name, "I");
         } else if (type == "vector<bool>") {
            add(bools, name, "O");
         } else {
            branch.SetAddress(&numbers.emplace_back());
            out.Branch(name.c_str(), &numbers.back(), branch.GetTitle());
         }
      }
      for (long long entry = 0; entry < in.GetEntries(); ++entry) {
         in.GetEntry(entry);
         for (auto &[name, length] : lengths)
            length.first = length.second();
         fill(floats), fill(ints), fill(bools);
         out.Fill();
      }
      in.ResetBranchAddresses();
   }
};

void copy_arrays(TTree &in, TTree &out) { Arrays{in, out}.copy(); }
"""


def main(source, kind, compression, path):
    with ROOT.TFile(source) as file:
        tree, meta = file.Get("nominal"), file.Get("meta")
        setting = 100 * ALGORITHMS[compression] + LEVEL
        if kind in ("vector", "array"):
            with ROOT.TFile(path, "recreate", "", setting):
                if kind == "vector":
                    copy = tree.CloneTree(-1)
                else:
                    ROOT.gInterpreter.Declare(ARRAYS)
                    copy = ROOT.TTree("nominal", "")
                    copy.SetAutoFlush(CLUSTER)
                    ROOT.copy_arrays(tree, copy)
                copy.Write()
                meta.CloneTree(-1).Write()
            return
    options = ROOT.RDF.RSnapshotOptions()
    options.fCompressionAlgorithm = setting // 100
    options.fCompressionLevel = LEVEL
    if kind == "RNTuple":
        options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    else:
        options.fAutoFlush = CLUSTER
    for name in ("nominal", "meta"):
        ROOT.RDataFrame(name, source).Snapshot(name, path, "", options)
        options.fMode = "update"


if __name__ == "__main__":
    main(*sys.argv[1:])
