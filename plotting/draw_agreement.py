"""Draw how well simulation describes the data, for all features of a region."""

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta

from plotting.style import FONT, INK, NO_CAPTION, QUIET, add_caption, styled

# Colours that also differ in lightness, and markers and hatches beside them.
LOOKS = {
    "disagrees": ("#bd1f01", "D", ""),
    "tail": ("#ffa90e", "^", "////"),
    "agrees": ("#3f90da", "o", ""),
}


@styled
def draw_agreement(
    probabilities, labels, verdicts, notes, *, least, shown=20, title="", caption=NO_CAPTION
):
    """Draw the features with the smallest probabilities, and all probabilities against chance.

    probabilities: (features,) of both tests together, not NaN
    labels: (features,) LaTeX or text
    verdicts: (features,) a key of LOOKS
    notes: (features,) text behind the bar
    least: the smallest probability that can be told, which is marked
    shown: number of features in the ranking
    On the right, sorted probabilities stand against those expected of as many independent tests
    that agree; the grey band holds 95 % of them. Features are correlated, so that points may leave
    the band together. Returns the Figure.
    """
    order = np.argsort(probabilities, kind="stable")
    size = -np.log10(np.asarray(probabilities, float)[order])
    verdicts = np.asarray(verdicts, dtype=object)[order]
    shown = min(shown, len(order))
    figure = Figure(figsize=(9.0, 1.5 + 0.23 * max(shown, 12)))
    ranking, chance = figure.subplots(1, 2, width_ratios=[1.25, 1])
    figure.subplots_adjust(0.16, 0.6 / figure.get_figheight(), 0.98, 0.94, wspace=0.24)
    floor = -np.log10(least)
    reached = size.max(initial=0) > floor - 0.5
    for y, (length, verdict) in enumerate(zip(size[:shown], verdicts, strict=False)):
        colour, _, hatch = LOOKS[verdict]
        ranking.barh(y, length, color=colour, hatch=hatch, edgecolor=INK, linewidth=0, height=0.7)
        note = notes[order[y]]
        ranking.annotate(
            note,
            (length, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            color=QUIET,
            fontsize=FONT - 2,
        )
    ranking.set_yticks(range(shown), [labels[place] for place in order[:shown]], fontsize=FONT - 1)
    ranking.tick_params(axis="y", which="both", left=False, right=False)
    ranking.set_ylim(max(shown, 1) - 0.4, -0.6)
    ranking.set_xlim(0, max(1.5, 1.3 * size.max(initial=0)))
    ranking.set_xlabel(r"$-\log_{10}\,p$ of $\chi^2$ and KS, and $\chi^2$/ndof", fontsize=FONT + 1)
    number = len(size)
    rank = np.arange(1, number + 1)
    expected = -np.log10(rank / (number + 1))
    low, high = (-np.log10(beta.ppf(q, rank, number + 1 - rank)) for q in (0.975, 0.025))
    chance.fill_between(expected, low, high, color="#d9d9d9", linewidth=0, label="95 %")
    end = 1.05 * max(1.0, expected.max(initial=0))
    chance.plot([0, end], [0, end], color=INK, linewidth=0.8)
    for verdict, (colour, marker, _) in LOOKS.items():
        which = verdicts == verdict
        text = f"{verdict}: {which.sum()}"
        style = {"color": colour, "markersize": 4, "label": text}
        if verdict == "tail":
            style |= {"markeredgecolor": INK, "markeredgewidth": 0.4}
        chance.plot(expected[which], size[which], marker, **style)
    chance.set_xlim(0, end)
    chance.set_ylim(0, max(1.3 * end, 1.45 * size.max(initial=0)))
    chance.set_xlabel(r"$-\log_{10}\,p$ expected by chance", fontsize=FONT + 1)
    chance.set_ylabel(r"$-\log_{10}\,p$ observed", fontsize=FONT + 1)
    if reached:
        style = {"color": QUIET, "linewidth": 1.0, "linestyle": (0, (1, 1.5))}
        ranking.axvline(floor, **style)
        chance.axhline(floor, **style, label="smallest told")
    chance.legend(loc="upper left", fontsize=FONT - 1)
    add_caption(ranking, caption, title)
    if caption.experiment or caption.status:
        chance.text(1, 1.015, title, transform=chance.transAxes, ha="right", color=QUIET)
    return figure
