"""A figure that is drawn once for all formats looks as matplotlib draws it for each."""

import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from plotting.renderers import POINTS, draw_once
from plotting.save import save
from plotting.style import BAND, DPI, drawing, styled

FORMATS = ("pdf", "svg", "png")


@styled
def stairs(axes):
    axes.stairs([3, 10, 1], [0, 1, 2, 4], fill=True, color="#3f90da")
    axes.stairs([4, 12, 2], [0, 1, 2, 4], baseline=[2, 8, 0.5], fill=True, **BAND)
    axes.set_yscale("log")
    axes.set_ylabel(r"$\sqrt{s_{1}}$ of $E_T^{\mathrm{miss}}$")


@styled
def lines(axes):
    x = np.linspace(0, 10, 50)
    axes.plot(x, np.sin(x), "--", linewidth=3, label="dashed")
    axes.plot(x, np.cos(x), "o", markersize=4, label="points")
    axes.vlines(x, -0.5, 0.5, linestyle=(0, (5, 1, 1, 1)))
    axes.set_xlim(2, 7)  # the rest is clipped
    axes.legend(title="$x^2$")


@styled
def cells(axes):
    values = np.arange(12.0).reshape(3, 4)
    axes.figure.colorbar(axes.pcolormesh(values, cmap="RdBu_r"), extend="both")
    axes.text(1.5, 1.5, "rotated", rotation=30)


@styled
def pixels(axes):
    axes.imshow(np.arange(12.0).reshape(3, 4), interpolation="none")


@styled
def layer(axes):
    x, y = np.random.default_rng(1).normal(size=(2, 300))
    axes.pcolormesh(*np.histogram2d(x, y, 5)[::-1], rasterized=True)
    axes.scatter(x, y, s=9, c=x, rasterized=True)
    clipped = axes.plot([-3, 3], [-3, 3], linewidth=5)[0]
    clipped.set_clip_path(Circle((0, 0), 1, transform=axes.transData))


def figure_of(fill):
    figure = Figure(figsize=(4.3, 3.1))
    fill(figure.add_axes((0.15, 0.15, 0.8, 0.75)))
    return figure


def usual(figure, ending, dpi):
    buffer = io.BytesIO()
    with drawing():
        figure.savefig(buffer, format=ending, dpi=dpi)
    return buffer.getvalue()


def grey(image):
    return np.asarray(image.convert("L"), float)


KINDS = (stairs, lines, cells, pixels, layer)


@pytest.mark.parametrize("fill", KINDS)
@pytest.mark.parametrize("dpi", [96, DPI])
def test_pixels_are_those_of_matplotlib(fill, dpi):
    figure = figure_of(fill)
    expected = grey(Image.open(io.BytesIO(usual(figure, "png", dpi))))
    with drawing():
        found = grey(draw_once(figure, FORMATS, dpi)["png"])
    assert found.shape == expected.shape
    assert np.mean(expected < 250) > 0.05
    # Texts may be elsewhere by a part of a pixel, lines may not have another width.
    assert abs(found.mean() - expected.mean()) < 0.6
    height, width = (size // 8 * 8 for size in found.shape)
    blurred = (found - expected)[:height, :width].reshape(height // 8, 8, width // 8, 8)
    assert np.abs(blurred.mean(axis=(1, 3))).max() < 80
    assert np.abs(blurred.mean(axis=(1, 3))).mean() < 1.0


@pytest.mark.parametrize("fill", KINDS)
def test_vector_formats_are_those_of_matplotlib(fill):
    figure = figure_of(fill)
    with drawing():
        found = draw_once(figure, FORMATS)
    expected = usual(figure, "svg", DPI).decode()
    for tag in ("path", "use", "image", "clipPath"):
        assert found["svg"].decode().count(f"<{tag} ") == expected.count(f"<{tag} "), tag
    assert np.allclose(numbers_of(found["svg"].decode()), numbers_of(expected), atol=1.0)
    size = len(usual(figure, "pdf", DPI))
    assert 0.9 * size < len(found["pdf"]) < 1.1 * size
    assert found["pdf"].count(b"/Subtype /Image") >= (fill in (pixels, layer))


def numbers_of(svg):
    """Where paths are, but not the pixels of images and names."""
    return [float(n) for d in re.findall(r' d="([^"]*)"', svg) for n in re.findall(r"-?[\d.]+", d)]


@pytest.mark.parametrize("fill", KINDS)
def test_again_and_alone_gives_the_same_bytes(fill, tmp_path):
    for name in ("first", "second"):
        save(figure_of(fill), tmp_path / name, FORMATS)
    figure = figure_of(fill)
    for ending in FORMATS:
        save(figure, tmp_path / "alone", (ending,))
        first, *others = (
            (tmp_path / f"{name}.{ending}").read_bytes() for name in ("first", "second", "alone")
        )
        assert all(other == first for other in others), ending


def test_figure_stays_as_it_was():
    figure = figure_of(lines)
    before = figure.dpi, tuple(figure.get_size_inches())
    with drawing():
        draw_once(figure, ("svg",))
    assert before == (figure.dpi, tuple(figure.get_size_inches()))
    assert figure.dpi != POINTS
