/// \file kinematics.h
/// Kinematics of one or two objects, given as (pT, eta, phi, m).
///
/// Units: GeV and radians. Formulas: Particle Data Group, "Kinematics"; the
/// rapidity-mass matrix: S. Chekanov, NIM A931 (2019) 92, arXiv:1805.11650.
#ifndef M3L_KINEMATICS_H
#define M3L_KINEMATICS_H

#include "arrays.h"

#include <ROOT/RVec.hxx>

#include <algorithm>
#include <cmath>

namespace m3l
{

/// One reconstructed object.
struct Particle {
   double pt;  ///< transverse momentum in GeV
   double eta; ///< pseudorapidity
   double phi; ///< azimuth in radians
   double m;   ///< mass in GeV
};

/// Cartesian four-momentum in GeV.
struct FourMomentum {
   double px, py, pz, e;
};

inline FourMomentum operator+(const FourMomentum &a, const FourMomentum &b)
{
   return {a.px + b.px, a.py + b.py, a.pz + b.pz, a.e + b.e};
}

/// Cartesian four-momentum of an object.
inline FourMomentum fourMomentum(const Particle &p)
{
   const double pz = p.pt * std::sinh(p.eta);
   return {p.pt * std::cos(p.phi), p.pt * std::sin(p.phi), pz,
           std::sqrt(p.pt * p.pt + pz * pz + p.m * p.m)};
}

/// Invariant mass in GeV; rounding below zero gives 0.
inline double mass(const FourMomentum &p)
{
   return std::sqrt(std::max(0., p.e * p.e - p.px * p.px - p.py * p.py - p.pz * p.pz));
}

/// The object that has a four-momentum; its pseudorapidity is 0 where it has no transverse
/// momentum.
inline Particle particle(const FourMomentum &p)
{
   const double pt = std::hypot(p.px, p.py);
   return {pt, pt > 0. ? std::asinh(p.pz / pt) : 0., std::atan2(p.py, p.px), mass(p)};
}

/// Length in GeV of the sum of two transverse momenta.
/// ~~~{.cpp}
/// root [0] m3l::addedPt(3., 0., 4., M_PI / 2)
/// (double) 5.0000000
/// ~~~
inline double addedPt(double pt1, double phi1, double pt2, double phi2)
{
   return std::hypot(pt1 + pt2 * std::cos(phi1 - phi2), pt2 * std::sin(phi1 - phi2));
}

/// Transverse energy \f$e_T = \sqrt{m^2 + p_T^2}\f$ in GeV.
/// ~~~{.cpp}
/// root [0] m3l::transverseEnergy(4., 3.)
/// (double) 5.0000000
/// ~~~
inline double transverseEnergy(double pt, double m)
{
   return std::sqrt(m * m + pt * pt);
}

/// Imbalance \f$\delta e_T = (e_{T,1} - e_{T,2}) / (e_{T,1} + e_{T,2})\f$ of an object (2) and the
/// one before it in its type (1); 0 where both are 0.
/// ~~~{.cpp}
/// root [0] m3l::deltaTransverseEnergy(30., 10.)
/// (double) 0.50000000
/// ~~~
inline double deltaTransverseEnergy(double et1, double et2)
{
   return et1 + et2 > 0. ? (et1 - et2) / (et1 + et2) : 0.;
}

/// Rapidity \f$y = \mathrm{asinh}(p_z / e_T)\f$; 0 for an object without momentum and mass.
/// ~~~{.cpp}
/// root [0] m3l::rapidity(50., 1.5, 0.)
/// (double) 1.5000000
/// ~~~
inline double rapidity(double pt, double eta, double m)
{
   const double et = transverseEnergy(pt, m);
   return et > 0. ? std::asinh(pt * std::sinh(eta) / et) : 0.;
}

/// Transverse mass in GeV of an object and the missing transverse momentum,
/// \f$m_T = \sqrt{m^2 + 2 (e_T E_T^{miss} - \vec p_T \cdot \vec p_T^{miss})}\f$.
/// ~~~{.cpp}
/// root [0] m3l::transverseMass(40., 0., 0., 40., M_PI)
/// (double) 80.000000
/// ~~~
inline double transverseMass(double pt, double phi, double m, double met, double metPhi)
{
   const double et = transverseEnergy(pt, m);
   return std::sqrt(std::max(0., m * m + 2. * met * (et - pt * std::cos(phi - metPhi))));
}

/// Constant of the longitudinal cells, which brings them to the range of the mass cells.
constexpr double kLongitudinalScale = 0.15;

/// Longitudinal property \f$h_L = C (\cosh y - 1)\f$ of an object of rapidity y, C = 0.15.
/// Written as \f$2 C \sinh^2(y / 2)\f$, which keeps its digits at small y.
/// ~~~{.cpp}
/// root [0] m3l::hL(0.)
/// (double) 0.0000000
/// ~~~
inline double hL(double y)
{
   const double s = std::sinh(0.5 * y);
   return 2. * kLongitudinalScale * s * s;
}

/// Longitudinal property of a pair, \f$h = C (\cosh(\Delta y / 2) - 1)\f$, C = 0.15: the published
/// definition. The thesis prints \f$\cosh(\Delta y) - 1\f$, which is `hL(y1 - y2)`.
inline double h(double y1, double y2)
{
   return hL(0.5 * (y1 - y2));
}

/// Masses in GeV from energies, clamped at 0 where rounding makes E^2 < p^2.
/// For input formats that store an energy instead of a mass.
/// \throws std::invalid_argument if the arrays differ in length
template <typename T>
ROOT::RVec<float> massFromEnergy(const ROOT::RVec<T> &pt, const ROOT::RVec<T> &eta,
                                 const ROOT::RVec<T> &e)
{
   requireOneLength("massFromEnergy", pt, eta, e);
   ROOT::RVec<float> m(pt.size());
   for (std::size_t i = 0; i < pt.size(); ++i) {
      const double p = pt[i] * std::cosh(double(eta[i]));
      m[i] = std::sqrt(std::max(0., (e[i] - p) * (e[i] + p)));
   }
   return m;
}

/// Invariant mass in GeV of object `i` of one collection and object `j` of another.
/// The fourth argument of each collection is the mass. An index outside its collection gives 0.
/// \throws std::invalid_argument if the arrays of a collection differ in length
/// ~~~{.cpp}
/// root [0] getM({50}, {0}, {0}, {0}, {50}, {0}, {M_PI}, {0}, 0, 0)
/// (double) 100.00000
/// ~~~
template <typename T, typename U>
double getM(const ROOT::RVec<T> &pt_i, const ROOT::RVec<T> &eta_i, const ROOT::RVec<T> &phi_i,
            const ROOT::RVec<T> &m_i, const ROOT::RVec<U> &pt_j, const ROOT::RVec<U> &eta_j,
            const ROOT::RVec<U> &phi_j, const ROOT::RVec<U> &m_j, int i, int j)
{
   requireOneLength("getM", pt_i, eta_i, phi_i, m_i);
   requireOneLength("getM", pt_j, eta_j, phi_j, m_j);
   if (i < 0 || j < 0 || i >= int(pt_i.size()) || j >= int(pt_j.size()))
      return 0.;
   return mass(fourMomentum({pt_i[i], eta_i[i], phi_i[i], m_i[i]}) +
               fourMomentum({pt_j[j], eta_j[j], phi_j[j], m_j[j]}));
}

/// The same for plain float columns, so that braces work at the prompt.
inline double getM(const ROOT::RVecF &pt_i, const ROOT::RVecF &eta_i, const ROOT::RVecF &phi_i,
                   const ROOT::RVecF &m_i, const ROOT::RVecF &pt_j, const ROOT::RVecF &eta_j,
                   const ROOT::RVecF &phi_j, const ROOT::RVecF &m_j, int i, int j)
{
   return getM<float, float>(pt_i, eta_i, phi_i, m_i, pt_j, eta_j, phi_j, m_j, i, j);
}

} // namespace m3l

#endif
