// Helper functions of the thesis's way: each takes whole columns and makes its Lorentz vectors
// anew.
#include "helperFunctions.h"

#include <TLorentzVector.h>

#include <cmath>

namespace
{

bool missing(const VecF_t &pt, int i)
{
   return i >= int(pt.size());
}

TLorentzVector lorentzVector(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi,
                             const VecF_t &m, int i)
{
   TLorentzVector p;
   p.SetPtEtaPhiM(pt[i], eta[i], phi[i], m[i]);
   return p;
}

} // namespace

double getET(const VecF_t &pt, const VecF_t &m, int i)
{
   if (missing(pt, i))
      return 0.;
   return std::sqrt(double(m[i]) * m[i] + double(pt[i]) * pt[i]);
}

double getDeltaET(const VecF_t &pt, const VecF_t &m, int i)
{
   if (missing(pt, i))
      return 0.;
   const double before = getET(pt, m, i - 1), here = getET(pt, m, i);
   return (before - here) / (before + here);
}

double getMT(const VecF_t &pt, const VecF_t &phi, const VecF_t &m, double met, double metPhi, int i)
{
   if (missing(pt, i))
      return 0.;
   const double product = pt[i] * met * std::cos(phi[i] - metPhi);
   return std::sqrt(std::max(0., m[i] * m[i] + 2. * (getET(pt, m, i) * met - product)));
}

double getHL(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi, const VecF_t &m, int i)
{
   if (missing(pt, i))
      return 0.;
   return 0.15 * (std::cosh(lorentzVector(pt, eta, phi, m, i).Rapidity()) - 1.);
}

double getH(const VecF_t &pt_i, const VecF_t &eta_i, const VecF_t &phi_i, const VecF_t &m_i,
            const VecF_t &pt_j, const VecF_t &eta_j, const VecF_t &phi_j, const VecF_t &m_j, int i,
            int j)
{
   if (missing(pt_i, i) || missing(pt_j, j))
      return 0.;
   const double y_i = lorentzVector(pt_i, eta_i, phi_i, m_i, i).Rapidity();
   const double y_j = lorentzVector(pt_j, eta_j, phi_j, m_j, j).Rapidity();
   return 0.15 * (std::cosh((y_i - y_j) / 2.) - 1.);
}

double getM(const VecF_t &pt_i, const VecF_t &eta_i, const VecF_t &phi_i, const VecF_t &m_i,
            const VecF_t &pt_j, const VecF_t &eta_j, const VecF_t &phi_j, const VecF_t &m_j, int i,
            int j)
{
   if (missing(pt_i, i) || missing(pt_j, j))
      return 0.;
   const TLorentzVector p1 = lorentzVector(pt_i, eta_i, phi_i, m_i, i);
   const TLorentzVector p2 = lorentzVector(pt_j, eta_j, phi_j, m_j, j);
   return (p1 + p2).M();
}

double getM3L(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi, const VecF_t &m)
{
   TLorentzVector sum;
   for (int i = 0; i < 3; ++i)
      sum += lorentzVector(pt, eta, phi, m, i);
   return sum.M();
}

double getMSFOS(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi, const VecF_t &m,
                const VecI_t &flavour, const VecI_t &charge)
{
   const double zMass = 91.1876;
   double best = 0., distance = 1e9;
   for (int i = 0; i < int(pt.size()); ++i) {
      for (int j = i + 1; j < int(pt.size()); ++j) {
         if (flavour[i] != flavour[j] || charge[i] == charge[j])
            continue;
         const double mass = getM(pt, eta, phi, m, pt, eta, phi, m, i, j);
         if (std::abs(mass - zMass) < distance) {
            distance = std::abs(mass - zMass);
            best = mass;
         }
      }
   }
   return best;
}

int flavourComp3L(const VecI_t &flavour)
{
   const int muons = int(ROOT::VecOps::Sum(flavour == 2));
   if (flavour[0] == 1)
      return muons;  // eee, eem, emm
   return 6 - muons; // mmm, mme, mee
}
