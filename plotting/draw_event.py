"""Draw an event in the transverse plane."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from plotting.style import FONT, INK, MISSING, NO_CAPTION, QUIET, add_caption, styled

COLOURS = ("#ffa90e", "#3f90da", "#bd1f01", "#832db6", "#717581")  # one per type of object


@styled
def draw_event(labels, types, e_t, phi, met, *, title="", caption=NO_CAPTION):
    """Draw the objects of an event as arrows whose length is their transverse energy.

    labels: (objects,) LaTeX; types: (objects,) small whole number that picks the colour
    e_t: (objects,) GeV; phi: (objects,) radians; met: missing transverse momentum in GeV, along
        phi = 0, dashed
    Returns the Figure.
    """
    figure = Figure(figsize=(4.4, 4.4))
    axes = figure.add_axes((0.03, 0.03, 0.94, 0.89))
    longest = max([met, *e_t, 1.0])
    step = nice_step(longest)
    for radius in np.arange(step, longest * 1.01 + step / 2, step):
        axes.add_artist(Circle((0, 0), radius, fill=False, color=MISSING, linewidth=0.7))
        axes.text(
            0,
            -radius,
            f"{radius:g} GeV",
            fontsize=FONT - 4,
            color=QUIET,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    reach = 1.22 * longest
    objects = [(r"$E_T^{\mathrm{miss}}$", INK, met, 0.0, "--")]
    for label, kind, energy, angle in zip(labels, types, e_t, phi, strict=True):
        objects.append((label, COLOURS[kind % len(COLOURS)], energy, angle, "-"))
    occupied = []
    for label, colour, energy, angle, dash in sorted(objects, key=lambda o: -o[2]):
        end = energy * np.array([np.cos(angle), np.sin(angle)])
        axes.annotate(
            "",
            end,
            (0, 0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "linewidth": 2.2,
                "linestyle": dash,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 13,
            },
        )
        place = free_place(end, angle, 0.085 * reach, occupied)
        occupied.append(place)
        align = "left" if dash == "--" else "center"  # that of missing momentum is long
        axes.text(*place, label, color=colour, ha=align, va="center", fontsize=FONT)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.tick_params(which="both", length=0, labelleft=False, labelbottom=False)
    for side in axes.spines.values():
        side.set_color(MISSING)
    add_caption(axes, caption, title)
    return figure


def nice_step(longest):
    """A step of 1, 2 or 5 times a power of ten that makes two to five circles."""
    power = 10.0 ** np.floor(np.log10(longest))
    for step in (0.2, 0.5, 1.0, 2.0):
        if longest / (step * power) <= 4.5:
            return step * power
    return 5.0 * power


def free_place(end, angle, gap, occupied):
    """A place for a label beyond the tip of an arrow that no other label has."""
    outward = np.array([np.cos(angle), np.sin(angle)])
    sideways = np.array([-outward[1], outward[0]])
    for shift in (0, 1, -1, 2, -2, 3, -3):
        place = end + gap * (outward + 0.9 * shift * sideways)
        if all(np.hypot(*(place - other)) > 1.35 * gap for other in occupied):
            break
    return place
