/// \file rmm.h
/// The rapidity-mass matrix (RMM), S. Chekanov, NIM A931 (2019) 92, arXiv:1805.11650.
#ifndef M3L_RMM_H
#define M3L_RMM_H

#include "objects.h"

#include <ROOT/RVec.hxx>

#include <array>
#include <string>
#include <vector>

namespace m3l
{

/// Fills the rapidity-mass matrix of an event.
///
/// Index 0 is the missing transverse momentum, then each object type's block, its objects ordered
/// by pT. With C = 0.15 and i, j two objects:
///
/// | cell            | value                                                                  |
/// |-----------------|------------------------------------------------------------------------|
/// | (0, 0)          | E_T^miss                                                               |
/// | (0, i)          | m_T(i), transverse mass of the object and the missing momentum         |
/// | (i, 0)          | h_L(i) = C (cosh y - 1)                                                |
/// | (i, i)          | e_T for the first object of a type, delta e_T to the one before after  |
/// | (i, j), i < j   | m(i, j), invariant mass of the pair                                    |
/// | (i, j), i > j   | h(i, j) = C (cosh(dy / 2) - 1)                                         |
///
/// Energies and masses are divided by the energy scale. A missing object leaves zeros; objects
/// beyond a type's multiplicity are left out.
/// ~~~{.cpp}
/// root [0] m3l::RMM rmm({{"jet", 1}, {"ele", 2}});
/// root [1] rmm.labels()[1].c_str()
/// (const char *) "m_T_jet_0"
/// root [2] rmm(40., 0., m3l::Objects{}, m3l::Objects{{30., 0., 0., 0.}})[2 * 4 + 2]
/// (float) 30.0000f
/// ~~~
class RMM
{
public:
   /// An object type and the largest number of its objects that enter the matrix.
   struct Type {
      std::string name;
      unsigned multiplicity;
   };

   /// Which rapidity difference the cells below the diagonal take.
   enum class H {
      kPublished, ///< C (cosh(dy / 2) - 1), the published definition
      kThesis     ///< C (cosh(dy) - 1), as the thesis text prints it
   };

   /// \throws std::invalid_argument without types, for a type without name or objects, for two
   ///         types of one name, for an energy scale that is not positive
   explicit RMM(std::vector<Type> types, double energyScale = 1., H h = H::kPublished);

   /// Rows (and columns): one for the missing momentum and one for each possible object.
   unsigned size() const { return fSize; }

   /// Names of the cells, row by row: `e_T_miss`, `m_T_jet_0`, `h_L_ele_1`, `e_T_jet_0`,
   /// `delta_e_t_jet_1`, `m_jet_0_ele_1`, `h_ele_1_jet_0`, ...; ranks count from 0.
   std::vector<std::string> labels() const;

   /// The matrix, row by row, `size() * size()` values.
   /// \param met     missing transverse momentum in GeV
   /// \param metPhi  its azimuth
   /// \param types   one `Objects` for each type of the layout, in its order
   /// \throws std::invalid_argument if the number of types is not the layout's
   template <typename... Types>
   ROOT::RVecF operator()(double met, double metPhi, const Types &...types) const
   {
      const std::array<const Objects *, sizeof...(types)> all{&types...};
      return fill(met, metPhi, all.data(), all.size());
   }

   ROOT::RVecF operator()(double met, double metPhi, const std::vector<Objects> &types) const;

private:
   ROOT::RVecF fill(double met, double metPhi, const Objects *const *types, std::size_t n) const;

   std::vector<Type> fTypes;
   unsigned fSize = 1;
   double fInverseScale;
   H fH;
};

} // namespace m3l

#endif
