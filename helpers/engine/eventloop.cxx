#include "engine/eventloop.h"

#include "engine/action.h"

namespace m3l
{

ROOT::RDF::RResultHandle bookCounter(ROOT::RDF::RNode node, std::shared_ptr<Cutflow> cutflow,
                                     CutflowCounter &counter, const std::string &weight)
{
   const auto count = [&counter](Cutflow &, unsigned slot, double w) { counter.add(slot, w); };
   return node.Book<double>(Action<Cutflow, decltype(count)>(std::move(cutflow), count), {weight});
}

std::shared_ptr<Cutflow> makeCutflow(unsigned slots, const std::vector<unsigned> &cuts)
{
   return std::make_shared<Cutflow>(slots, cuts);
}

std::shared_ptr<RowStore> makeRows(unsigned floats, unsigned ints, unsigned slots,
                                   std::size_t memory, const std::string &folder)
{
   return std::make_shared<RowStore>(floats, ints, slots, memory, folder);
}

ROOT::RDF::RResultPtr<std::vector<EventValues>> takeValues(ROOT::RDF::RNode node,
                                                           const std::string &column)
{
   return node.Take<EventValues>(column);
}

std::vector<float> flattened(const std::vector<ROOT::RVecF> &matrices)
{
   std::vector<float> values;
   values.reserve(matrices.empty() ? 0 : matrices.size() * matrices[0].size());
   for (const auto &matrix : matrices)
      values.insert(values.end(), matrix.begin(), matrix.end());
   return values;
}

} // namespace m3l
