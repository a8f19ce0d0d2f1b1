// Helper functions of the thesis's way, see thesis.py.
#ifndef HELPER_FUNCTIONS_H
#define HELPER_FUNCTIONS_H

#include <ROOT/RVec.hxx>

using VecF_t = ROOT::RVec<float>;
using VecI_t = ROOT::RVec<int>;

// Cells of the matrix; an object that is missing gives 0.
double getET(const VecF_t &pt, const VecF_t &m, int i);
double getDeltaET(const VecF_t &pt, const VecF_t &m, int i);
double getMT(const VecF_t &pt, const VecF_t &phi, const VecF_t &m, double met, double metPhi,
             int i);
double getHL(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi, const VecF_t &m, int i);
double getH(const VecF_t &pt_i, const VecF_t &eta_i, const VecF_t &phi_i, const VecF_t &m_i,
            const VecF_t &pt_j, const VecF_t &eta_j, const VecF_t &phi_j, const VecF_t &m_j, int i,
            int j);
double getM(const VecF_t &pt_i, const VecF_t &eta_i, const VecF_t &phi_i, const VecF_t &m_i,
            const VecF_t &pt_j, const VecF_t &eta_j, const VecF_t &phi_j, const VecF_t &m_j, int i,
            int j);

double getM3L(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi, const VecF_t &m);
double getMSFOS(const VecF_t &pt, const VecF_t &eta, const VecF_t &phi, const VecF_t &m,
                const VecI_t &flavour, const VecI_t &charge);
int flavourComp3L(const VecI_t &flavour);

#endif
