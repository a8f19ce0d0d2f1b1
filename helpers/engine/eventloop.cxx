#include "engine/eventloop.h"

#include <ROOT/RDF/RActionImpl.hxx>
#include <ROOT/RDFHelpers.hxx>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace m3l
{

namespace
{

/// RDataFrame action that counts; what RDataFrame makes of it in a variation counts elsewhere.
class CountAction : public ROOT::Detail::RDF::RActionImpl<CountAction>
{
public:
   using Result_t = Cutflows;
   using Counters = std::vector<CutflowCounter *>;

   CountAction(std::shared_ptr<Cutflows> cutflows, std::map<std::string, CutflowCounter *> varied,
               std::shared_ptr<Counters> counters)
      : fCutflows(std::move(cutflows)),
        fVaried(std::move(varied)),
        fCounters(std::move(counters))
   {
   }
   CountAction(CountAction &&) = default;

   std::shared_ptr<Cutflows> GetResultPtr() const { return fCutflows; }
   void Initialize() {}
   void InitTask(TTreeReader *, unsigned) {}
   void Finalize() {}
   std::string GetActionName() const { return "m3l"; }

   void Exec(unsigned slot, double weight)
   {
      for (CutflowCounter *counter : *fCounters)
         counter->add(slot, weight);
   }

   CountAction MakeNew(void *result, std::string_view variation = "nominal")
   {
      const auto counters = std::make_shared<Counters>(1, fVaried.at(std::string(variation)));
      return {*static_cast<std::shared_ptr<Cutflows> *>(result), fVaried, counters};
   }

private:
   std::shared_ptr<Cutflows> fCutflows; ///< keeps the counters alive
   std::map<std::string, CutflowCounter *> fVaried;
   std::shared_ptr<Counters> fCounters;
};

} // namespace

std::vector<ROOT::RDF::RResultHandle> bookCounter(ROOT::RDF::RNode node, const Cutflows &cutflows,
                                                  const std::vector<std::string> &variations,
                                                  int region, int cut, const std::string &weight)
{
   const auto counterOf = [=](Cutflow &of) {
      return region == kAll ? &of.all : region == kDropped ? &of.dropped : &of.regions[region][cut];
   };
   std::map<std::string, CutflowCounter *> varied;
   for (std::size_t i = 0; i < variations.size(); ++i)
      varied[variations[i]] = counterOf(*cutflows.at(i + 1));
   const auto shared = std::make_shared<Cutflows>(cutflows);
   const auto counting = std::make_shared<CountAction::Counters>(1, counterOf(*cutflows.at(0)));
   auto counted = node.Book<double>(CountAction(shared, varied, counting), {weight});
   std::vector<ROOT::RDF::RResultHandle> handles{counted};
   if (!varied.empty()) {
      auto all = ROOT::RDF::Experimental::VariationsFor(counted);
      const std::vector<std::string> made = all.GetKeys();
      for (const auto &[name, counter] : varied) // a variation may not matter at this node
         if (std::find(made.begin(), made.end(), name) == made.end())
            counting->push_back(counter);
      handles.push_back(all);
   }
   return handles;
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
