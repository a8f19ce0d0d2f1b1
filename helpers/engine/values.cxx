#include "engine/values.h"

namespace m3l
{

ROOT::RDF::RResultPtr<std::vector<EventValues>> takeValues(ROOT::RDF::RNode node,
                                                           const std::string &column)
{
   return node.Take<EventValues>(column);
}

} // namespace m3l
