"""Draw an event in the transverse plane."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from plotting.style import FONT, INK, MISSING, NO_CAPTION, QUIET, add_caption, styled

COLOURS = ("#ffa90e", "#3f90da", "#bd1f01", "#832db6", "#717581")  # one per type of object


@styled
def draw_event(labels, types, e_t, phi, met, *, drivers=(), title="", caption=NO_CAPTION):
    """Draw the objects of an event as arrows whose length is their transverse energy.

    labels: (objects,) LaTeX; types: (objects,) small whole number that picks the colour
    e_t: (objects,) GeV; phi: (objects,) radians; met: missing transverse momentum in GeV, along
        phi = 0, dashed
    drivers: (label, value, what is usual) of the features that drive the score, below the plane
    Returns the Figure.
    """
    below = 0.22 * (1 + len(drivers)) + 0.1 if drivers else 0.0  # inches
    height = 4.4 + below
    figure = Figure(figsize=(4.4, height))
    axes = figure.add_axes((0.05, (0.13 + below) / height, 0.9, 3.96 / height))
    heads = [("adds most to the score", "here", "usually (68 %)")] if drivers else []
    for place, row in enumerate([*heads, *drivers]):
        y = (below - 0.22 * place) / height
        for x, text, side in zip((0.05, 0.6, 0.95), row, ("left", "right", "right"), strict=True):
            colour = INK if place else QUIET
            figure.text(x, y, text, fontsize=FONT - 2, color=colour, ha=side, va="top")
    longest = max([met, *e_t, 1.0])
    reach, step = 1.22 * longest, nice_step(longest)
    objects = [(r"$E_T^{\mathrm{miss}}$", INK, met, 0.0, "--")]
    for label, kind, energy, angle in zip(labels, types, e_t, phi, strict=True):
        objects.append((label, COLOURS[kind % len(COLOURS)], energy, angle, "-"))
    ends = [e * np.array([np.cos(phi), np.sin(phi)]) for *_, e, phi, _ in objects]
    free, occupied = free_direction([angle for *_, angle, _ in objects]), []
    for radius in np.arange(step, longest * 1.01 + step / 2, step):
        axes.add_artist(Circle((0, 0), radius, fill=False, color=MISSING, linewidth=0.7))
        place = radius * free
        occupied.append(place)
        axes.text(
            *place,
            f"{radius:g} GeV",
            fontsize=FONT - 4,
            color=QUIET,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    for label, colour, energy, angle, dash in sorted(objects, key=lambda o: -o[2]):
        end = energy * np.array([np.cos(angle), np.sin(angle)])
        length = 150 * energy / reach  # points
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
                "mutation_scale": min(13, max(5, 0.6 * length)),
            },
        )
        place = free_place(end, angle, 0.085 * reach, occupied, ends, 0.95 * reach)
        wide = 0.05 * reach * (dash == "--")  # the label of missing momentum is long
        occupied += [place - (wide, 0), place + (wide, 0)]
        axes.text(*place, label, color=INK, ha="center", va="center", fontsize=FONT)
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


def free_direction(angles):
    """(2,) the direction that is farthest from all angles, the first below the plane."""
    tried = -np.pi / 2 + np.linspace(0, 2 * np.pi, 24, endpoint=False)
    apart = [min(np.abs(np.angle(np.exp(1j * (one - np.array(angles)))))) for one in tried]
    best = tried[int(np.argmax(np.round(apart, 6)))]
    return np.array([np.cos(best), np.sin(best)])


def free_place(end, angle, gap, occupied, ends, reach):
    """A place for a label beyond the tip of an arrow that no other label or arrow has.

    end: (2,) tip; angle: its direction; gap: size of a label
    occupied: places of other labels; ends: tips of all arrows; reach: half of the plane's width
    """
    best, most = end, -np.inf
    for distance in (1.0, 1.5, 2.2):
        for turn in (0, 0.6, -0.6, 1.2, -1.2, 1.8, -1.8, 2.4, -2.4):
            direction = np.array([np.cos(angle + turn), np.sin(angle + turn)])
            place = end + distance * gap * direction
            room = min([np.hypot(*(place - other)) / 1.35 for other in occupied], default=gap)
            room = min([room, *(distance_to_arrow(place, tip) / 0.8 for tip in ends)])
            room = min(room, gap) - 10 * max(np.abs(place).max() - reach, 0)
            if room > most + 1e-9 * gap:
                best, most = place, room
    return best


def distance_to_arrow(place, tip):
    """Distance of a place from the line between the origin and a tip."""
    square = float(tip @ tip)
    share = np.clip(place @ tip / square, 0, 1) if square > 0 else 0.0
    return float(np.hypot(*(place - share * tip)))
