"""Draw how well simulation describes the data, for all features of a region."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta

from plotting.style import FONT, INK, NO_CAPTION, QUIET, add_caption, styled

GOOD, BAD = "#3f90da", "#bd1f01"


@styled
def draw_agreement(
    probabilities, chi2_probabilities, labels, bad, *, shown=20, title="", caption=NO_CAPTION
):
    """Draw the features with the smallest probabilities, and all probabilities against chance.

    probabilities: (features,) of both tests together, not NaN: the ranking
    chi2_probabilities: (features,) of the chi-squared test, which for good simulation are uniform
    labels: (features,) LaTeX or text
    bad: (features,) bool, called disagreeing
    shown: number of features in the ranking
    On the right, sorted probabilities stand against those expected of as many independent tests
    that agree; the grey band holds 95 % of them. Features are correlated, so that points may leave
    the band together. Returns the Figure.
    """
    probabilities, bad = np.asarray(probabilities, float), np.asarray(bad, bool)
    order = np.argsort(probabilities, kind="stable")
    p = np.maximum(probabilities[order], 1e-300)
    ranked_bad = bad[order]
    labels = [labels[place] for place in order]
    shown = min(shown, len(p))
    figure = Figure(figsize=(9.0, 1.5 + 0.23 * max(shown, 12)))
    ranking, chance = figure.subplots(1, 2, width_ratios=[1.25, 1])
    figure.subplots_adjust(0.16, 0.6 / figure.get_figheight(), 0.98, 0.94, wspace=0.24)
    y = np.arange(shown)
    size = -np.log10(p[:shown])
    ranking.barh(y, size, color=np.where(ranked_bad[:shown], BAD, GOOD), height=0.7)
    ranking.set_yticks(y, labels[:shown], fontsize=FONT - 1)
    ranking.tick_params(axis="y", which="both", left=False, right=False)
    ranking.set_ylim(max(shown, 1) - 0.4, -0.6)
    ranking.set_xlim(0, max(1.5, 1.15 * size.max(initial=0)))
    ranking.set_xlabel(r"$-\log_{10}\,p$ of $\chi^2$ and KS", fontsize=FONT + 1)
    chi2_probabilities = np.asarray(chi2_probabilities, float)
    order = np.argsort(chi2_probabilities, kind="stable")
    p, bad = np.maximum(chi2_probabilities[order], 1e-300), bad[order]
    chosen = {"agrees": ~bad, "disagrees": bad}
    number = len(p)
    rank = np.arange(1, number + 1)
    expected = -np.log10(rank / (number + 1)) if number else np.array([])
    low, high = (-np.log10(beta.ppf(q, rank, number + 1 - rank)) for q in (0.975, 0.025))
    chance.fill_between(expected, low, high, color="#d9d9d9", linewidth=0, label="95 %")
    end = 1.05 * max(1.0, expected.max(initial=0))
    chance.plot([0, end], [0, end], color=INK, linewidth=0.8)
    for (word, which), colour, marker in zip(chosen.items(), (GOOD, BAD), ("o", "D"), strict=True):
        text = f"{word}: {which.sum()}"
        chance.plot(
            expected[which], -np.log10(p[which]), marker, color=colour, markersize=3.5, label=text
        )
    chance.set_xlim(0, end)
    chance.set_ylim(0, max(1.2 * end, 1.1 * float(-np.log10(p.min(initial=1)))))
    chance.set_xlabel(r"$-\log_{10}\,p(\chi^2)$ expected by chance", fontsize=FONT + 1)
    chance.set_ylabel(r"$-\log_{10}\,p(\chi^2)$ observed", fontsize=FONT + 1)
    chance.legend(loc="upper left", fontsize=FONT - 1)
    add_caption(ranking, caption, title)
    if caption.experiment or caption.status:
        chance.text(1, 1.015, title, transform=chance.transAxes, ha="right", color=QUIET)
    return figure
