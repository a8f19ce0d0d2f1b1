// What Python calls by ctypes: functions of C types. PyROOT takes most of a second to import, and
// its interpreter milliseconds to a tenth of a second for each kind of call.
#include "engine/blosc.h"
#include "engine/cutflow.h"
#include "engine/histograms.h"
#include "engine/inspection.h"
#include "engine/rowstore.h"
#include "engine/sampleloop.h"

#include <TClass.h>
#include <TROOT.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace m3l
{

// Where results stay until the next call of the thread.
struct Answer {
   std::string problem, text;
   std::vector<unsigned char> bytes;
};

inline Answer &answer()
{
#ifdef M3L_INTERPRETED
   static Answer of; // the interpreter has no thread_local, and no chains that run in a thread
#else
   thread_local Answer of;
#endif
   return of;
}

/// What a function returns, or `failed` with a problem kept for m3l_problem where it throws.
template <typename Function>
auto attempt(Function function, decltype(function()) failed = {}) noexcept
{
   try {
      answer().problem.clear();
      return function();
   } catch (const std::exception &error) {
      answer().problem = error.what();
      return failed;
   }
}

template <typename Function>
const char *text(Function function) noexcept
{
   return attempt([&] {
      answer().text = function();
      return static_cast<const char *>(answer().text.c_str());
   });
}

template <typename Function>
const unsigned char *bytes(std::size_t *size, Function function) noexcept
{
   return attempt([&] {
      answer().bytes = function();
      *size = answer().bytes.size();
      return static_cast<const unsigned char *>(answer().bytes.data());
   });
}

template <typename Function>
bool done(Function function) noexcept
{
   return attempt([&] {
      function();
      return true;
   });
}

} // namespace m3l

// NOLINTBEGIN: names as C has them
extern "C" {

const char *m3l_problem()
{
   return m3l::answer().problem.c_str();
}

// --- ROOT -------------------------------------------------------------------------------------

/// \param classes  a line each, see helpers.CLASSES
bool m3l_begin(const char *classes)
{
   return m3l::done([&] {
      gROOT->SetBatch(true);
      ROOT::EnableThreadSafety();
      std::istringstream lines(classes);
      for (std::string name; std::getline(lines, name);)
         TClass::GetClass(name.c_str())->GetStreamerInfo();
   });
}

bool m3l_use_threads(unsigned threads)
{
   return m3l::done([&] { ROOT::EnableImplicitMT(threads); });
}

unsigned m3l_threads()
{
   return ROOT::GetThreadPoolSize();
}

long long m3l_bytes_read()
{
   return m3l::bytesRead();
}

/// What inspectDataset finds: fields, each a line with its size and then its bytes. First the
/// problem, uuid, entries, sum and constant, each with what is lacking, whether it is protected,
/// compression, skim, blocks, numbers of keys and columns; then keys, names, types and kinds.
const unsigned char *m3l_inspect(const char *file, const char *tree, const char *sum,
                                 const char *constant, const char *run, const char *block,
                                 std::size_t *size)
{
   return m3l::bytes(size, [&] {
      const m3l::DatasetInfo info = m3l::inspectDataset(file, tree, sum, constant, run, block);
      const auto hexadecimal = [](double number) {
         char digits[64];
         std::snprintf(digits, sizeof digits, "%a", number);
         return std::string(digits);
      };
      std::vector<std::string> fields{info.problem,
                                      info.uuid,
                                      std::to_string(info.entries),
                                      hexadecimal(info.sum.value),
                                      info.sum.lacking,
                                      hexadecimal(info.constant.value),
                                      info.constant.lacking,
                                      info.isProtected ? "1" : "",
                                      info.compression,
                                      info.skim,
                                      info.blocks,
                                      std::to_string(info.keys.size()),
                                      std::to_string(info.kinds.size())};
      fields.insert(fields.end(), info.keys.begin(), info.keys.end());
      for (std::size_t i = 0; i < info.kinds.size(); ++i)
         fields.insert(fields.end(), {info.columns[i], info.types[i], info.kinds[i]});
      std::vector<unsigned char> found;
      for (const std::string &field : fields) {
         const std::string line = std::to_string(field.size()) + "\n" + field;
         found.insert(found.end(), line.begin(), line.end());
      }
      return found;
   });
}

const unsigned char *m3l_blosc(const unsigned char *data, std::size_t size, bool hasZeros,
                               std::size_t *packed)
{
   return m3l::bytes(packed, [&] { return m3l::bloscChunk(data, size, hasZeros); });
}

// --- the event loop of a sample ---------------------------------------------------------------

m3l::SampleLoop *m3l_loop_make(unsigned slots)
{
   return m3l::attempt([&] { return new m3l::SampleLoop(slots); });
}

void m3l_loop_free(m3l::SampleLoop *loop)
{
   delete loop;
}

bool m3l_loop_add_region(m3l::SampleLoop *loop, unsigned cuts)
{
   return m3l::done([&] { loop->addRegion(cuts); });
}

bool m3l_loop_add_cutflow(m3l::SampleLoop *loop, bool own)
{
   return m3l::done([&] { loop->addCutflow(own); });
}

m3l::RowStore *m3l_loop_add_rows(m3l::SampleLoop *loop, unsigned floats, unsigned ints,
                                 std::size_t memory, const char *folder, unsigned weights)
{
   return m3l::attempt([&] { return loop->addRows(floats, ints, memory, folder, weights); });
}

bool m3l_loop_add_constant(m3l::SampleLoop *loop, double value)
{
   return m3l::done([&] { loop->addConstant(value); });
}

bool m3l_loop_add_file(m3l::SampleLoop *loop, const char *path, long long entries, long long size)
{
   return m3l::done([&] { loop->addFile(path, entries, size); });
}

std::uint64_t m3l_loop_entries(const m3l::SampleLoop *loop)
{
   return m3l::attempt([&] { return loop->entries(); });
}

std::uint64_t m3l_loop_dropped(const m3l::SampleLoop *loop)
{
   return m3l::attempt([&] { return loop->dropped(); });
}

const char *m3l_loop_counts(const m3l::SampleLoop *loop, unsigned cutflow)
{
   return m3l::text([&] { return loop->counts(cutflow); });
}

void m3l_loop_release(m3l::SampleLoop *loop)
{
   loop->release();
}

#ifndef M3L_INTERPRETED // which has no compiled chains
const char *m3l_foreign_branch(const char *library, const char *function)
{
   return m3l::text([&] { return m3l::foreignBranch(library, function); });
}

const char *m3l_loop_read(m3l::SampleLoop *loop, const char *library, const char *function,
                          const char *tree, long long begin, long long end, bool dropBad)
{
   return m3l::text([&] { return loop->read(library, function, tree, begin, end, dropBad); });
}
#endif

// --- rows -------------------------------------------------------------------------------------

m3l::RowStore *m3l_rows_make(unsigned floats, unsigned ints, unsigned slots, std::size_t memory,
                             const char *folder, unsigned weights)
{
   return m3l::attempt(
      [&] { return new m3l::RowStore(floats, ints, slots, memory, folder, weights); });
}

void m3l_rows_free(m3l::RowStore *rows)
{
   delete rows;
}

bool m3l_rows_add(m3l::RowStore *rows, std::size_t n, const std::int64_t *identities,
                  const double *weights, const float *features, const double *integers)
{
   return m3l::done([&] { m3l::addRows(*rows, n, identities, weights, features, integers); });
}

std::size_t m3l_rows_next(m3l::RowStore *rows)
{
   return m3l::attempt([&] { return rows->next(); });
}

bool m3l_rows_stop(m3l::RowStore *rows)
{
   return m3l::done([&] { rows->stopReading(); });
}

unsigned m3l_rows_weights(const m3l::RowStore *rows)
{
   return rows->nWeights();
}

/// \param values  gets where the numbers of the rows are: identities, weights, floats, integers
void m3l_rows_values(const m3l::RowStore *rows, const void **values)
{
   values[0] = rows->identities();
   values[1] = rows->weights();
   values[2] = rows->features();
   values[3] = rows->integers();
}

/// Returns how many rows were not added.
/// \param first, value  see BadRows; `first` gets its identity and column
std::uint64_t m3l_rows_bad(const m3l::RowStore *rows, std::int64_t *first, double *value)
{
   return m3l::attempt([&] {
      const m3l::BadRows bad = rows->bad();
      std::copy_n(bad.identity, 3, first);
      first[3] = bad.column;
      *value = bad.value;
      return bad.rows;
   });
}

// --- histograms -------------------------------------------------------------------------------

m3l::HistogramSet *m3l_set_make()
{
   return m3l::attempt([&] { return new m3l::HistogramSet(); });
}

void m3l_set_free(m3l::HistogramSet *set)
{
   delete set;
}

bool m3l_set_add(m3l::HistogramSet *set, const char *name, const char *title, int bins, double low,
                 double high)
{
   return m3l::done([&] { set->add(name, title, bins, low, high); });
}

bool m3l_set_add_none(m3l::HistogramSet *set)
{
   return m3l::done([&] { set->addNone(); });
}

bool m3l_set_start_filling(const m3l::HistogramSet *set, m3l::RowStore *rows, std::size_t n)
{
   return m3l::done([&] { set->startFilling(*rows, n); });
}

m3l::HistogramFile *m3l_file_make(const char *name)
{
   return m3l::attempt([&] { return new m3l::HistogramFile(name); });
}

void m3l_file_free(m3l::HistogramFile *file)
{
   delete file;
}

bool m3l_file_write(m3l::HistogramFile *file, const char *region, const m3l::HistogramSet *set)
{
   return m3l::attempt([&] { return file->write(region, *set); });
}

bool m3l_file_add(m3l::HistogramFile *file, const char *path, const char *names)
{
   return m3l::attempt([&] { return file->add(path, names); });
}

const unsigned char *m3l_file_content(m3l::HistogramFile *file, std::size_t *size)
{
   return m3l::bytes(size, [&] { return file->content(); });
}

} // extern "C"
// NOLINTEND
