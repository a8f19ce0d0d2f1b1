#include "engine/branchcontent.h"

#include <ROOT/RField.hxx>
#include <ROOT/RNTupleDescriptor.hxx>
#include <TBranch.h>
#include <TBranchElement.h>
#include <TLeaf.h>
#include <TLeafC.h>
#include <TTree.h>

#include <stdexcept>

namespace m3l
{

namespace
{

/// The name in C++ for the type of a field of an RNTuple; empty for one that is no number.
std::string numberOfField(const std::string &type)
{
   std::string found;
   forEachNumber([&](auto number, const char *name) {
      if (found.empty() && type == ROOT::RField<decltype(number)>::TypeName())
         found = name;
   });
   return found;
}

} // namespace

std::string BranchContent::type() const
{
   return shape == Shape::number || element.empty() ? element
                                                    : "ROOT::VecOps::RVec<" + element + ">";
}

std::string numberName(const std::string &name)
{
   for (const auto &[root, cpp] : kNumberNames)
      if (name == root || name == cpp)
         return cpp;
   return "";
}

BranchContent contentOf(TBranch &branch)
{
   const auto *leaves = branch.GetListOfLeaves();
   BranchContent content;
   content.kind = branch.ClassName();
   if (leaves->GetEntriesFast() != 1 || branch.GetListOfBranches()->GetEntriesFast() != 0)
      return content;
   auto *leaf = static_cast<TLeaf *>(leaves->UncheckedAt(0));
   if (!leaf)
      return content;
   std::string name = leaf->GetTypeName();
   content.kind += " " + name + " " + leaf->GetTitle();
   // Baskets in another file, or those that lack a part of what is needed to read them.
   if (*branch.GetFileName() ||
       branch.GetIOFeatures().Test(ROOT::Experimental::EIOFeatures::kGenerateOffsetMap))
      return content;
   std::string kind = "number";
   if (branch.IsA() == TBranchElement::Class()) {
      const auto &element = static_cast<TBranchElement &>(branch);
      // Members of classes have another type or streamer.
      if (element.GetType() != 0 || element.GetStreamerType() != -1)
         return content;
      const std::string ends[] = {"vector<", "ROOT::VecOps::RVec<"};
      const bool rvec = name.rfind(ends[1], 0) == 0;
      const std::string &start = ends[rvec];
      if (name.rfind(start, 0) != 0 || name.back() != '>')
         return content;
      name = name.substr(start.size(), name.size() - start.size() - 1);
      kind = rvec ? "RVec" : "vector";
      content.shape = Shape::vector;
   } else if (branch.IsA() != TBranch::Class() || leaf->IsA() == TLeafC::Class() ||
              leaf->GetLenStatic() != 1) {
      return content; // an object, a text, or an array of fixed length
   } else if (leaf->GetLeafCount()) {
      kind = "array";
      content.shape = Shape::array;
   }
   content.element = numberName(name);
   if (!content.element.empty())
      content.kind = kind;
   return content;
}

BranchContent contentOf(const ROOT::RNTupleDescriptor &ntuple, const std::string &name)
{
   const auto id = ntuple.FindFieldId(name);
   if (id == ROOT::kInvalidDescriptorId)
      throw std::runtime_error("there is no field '" + name + "'");
   const auto &field = ntuple.GetFieldDescriptor(id);
   BranchContent content;
   content.kind = field.GetTypeName();
   if (field.IsProjectedField() || field.GetNRepetitions() != 0)
      return content;
   content.element = numberOfField(content.kind);
   const auto &parts = field.GetLinkIds();
   if (content.element.empty() && parts.size() == 1) {
      const auto &part = ntuple.GetFieldDescriptor(parts[0]);
      const std::string type = part.GetTypeName();
      if (part.GetNRepetitions() == 0 && (content.kind == "std::vector<" + type + ">" ||
                                          content.kind == "ROOT::VecOps::RVec<" + type + ">")) {
         content.shape = Shape::vector;
         content.element = numberOfField(type);
      }
   }
   return content;
}

TBranch *findBranch(TTree &tree, const std::string &name)
{
   return static_cast<TBranch *>(tree.GetListOfBranches()->FindObject(name.c_str()));
}

} // namespace m3l
