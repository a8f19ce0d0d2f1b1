/// \file action.h
/// An RDataFrame action made of a function.
#ifndef M3L_ACTION_H
#define M3L_ACTION_H

#include <ROOT/RDF/RActionImpl.hxx>

#include <memory>
#include <string>
#include <utility>

class TTreeReader;

namespace m3l
{

/// RDataFrame action that calls a function of the slot and of a column, for its effect on `Result`.
template <typename Result, typename Function>
class Action : public ROOT::Detail::RDF::RActionImpl<Action<Result, Function>>
{
public:
   using Result_t = Result;

   Action(std::shared_ptr<Result> result, Function function)
      : fResult(std::move(result)),
        fFunction(std::move(function))
   {
   }
   Action(Action &&) = default;

   std::shared_ptr<Result_t> GetResultPtr() const { return fResult; }
   void Initialize() {}
   void InitTask(TTreeReader *, unsigned) {}
   void Finalize() {}
   std::string GetActionName() const { return "m3l"; }

   template <typename Column>
   void Exec(unsigned slot, const Column &column)
   {
      fFunction(*fResult, slot, column);
   }

private:
   std::shared_ptr<Result> fResult;
   Function fFunction;
};

} // namespace m3l

#endif
