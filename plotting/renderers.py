"""Draw a figure once for several formats.

Nearly all of the time of a picture is what its artists do: they lay out texts, legends and ticks in
Python before they call a renderer. matplotlib does that anew for each format. Here the artists draw
once, in points, and each call goes to the renderers of all formats.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.transforms import Affine2D, Bbox, TransformedPath
from PIL import Image

from plotting.style import DPI

POINTS = 72  # per inch, unit of the artists

# Without the time and the version of matplotlib.
PDF_METADATA = {"Creator": None, "Producer": None, "CreationDate": None}
SVG_METADATA = {"Date": None, "Creator": None}


@dataclass(frozen=True)
class Format:
    """A renderer that draws along."""

    renderer: RendererBase
    finish: Callable  # () -> what was drawn
    dpi: float | None = None  # of pixels; None: a vector format, in points


def draw_once(figure, formats, dpi=DPI):
    """What a figure is in some of "pdf", "svg" (bytes) and "png" (RGB Image), by format.

    dpi: of the PNG; pixels inside the others have DPI
    """
    size = figure.get_size_inches()
    makers = {"pdf": pdf_format, "svg": svg_format, "png": lambda *size: pixel_format(*size, dpi)}
    drawn = {name: makers[name](*size) for name in formats}
    before = figure.dpi
    figure.dpi = POINTS
    try:
        SPLITTER.begin(size, drawn.values())
        figure.draw(SPLITTER)
        return {name: one.finish() for name, one in drawn.items()}
    finally:
        figure.dpi = before


def pdf_format(width, height):
    """A PDF of one page; width, height in inches."""
    buffer = io.BytesIO()
    file = PdfFile(buffer, metadata=PDF_METADATA)
    file.newPage(width, height)
    renderer = RendererPdf(file, DPI, height, width)

    def finish():
        renderer.finalize()
        file.finalize()
        content = buffer.getvalue()
        file.close()
        return content

    return Format(renderer, finish)


def svg_format(width, height):
    """An SVG; width, height in inches."""
    buffer = io.StringIO()
    size = width * POINTS, height * POINTS
    renderer = RendererSVG(*size, buffer, image_dpi=DPI, metadata=SVG_METADATA)

    def finish():
        renderer.finalize()
        return buffer.getvalue().encode()

    return Format(renderer, finish)


def pixel_format(width, height, dpi):
    """Pixels on white; width, height in inches."""
    renderer = RendererAgg(round(width * dpi), round(height * dpi), dpi)

    def finish():
        return Image.fromarray(np.asarray(renderer.buffer_rgba())[..., :3])

    return Format(renderer, finish, dpi)


class Splitter(RendererBase):
    """Passes what artists draw, in points, to the renderers of several formats."""

    def begin(self, size, formats):
        """Draw from now on a figure of (width, height) inches into some Formats."""
        super().__init__()
        self.size, self.formats, self.layer = size, list(formats), None

    def get_canvas_width_height(self):
        return tuple(POINTS * self.size)

    def get_image_magnification(self):
        return DPI / POINTS

    def start_rasterizing(self):
        """Draw into a layer of pixels where a format is a vector one."""
        self.layer = pixel_format(*self.size, DPI)

    def stop_rasterizing(self):
        """Put the layer into the vector formats."""
        pixels, self.layer = np.asarray(self.layer.renderer.buffer_rgba()), None
        rows, columns = (np.flatnonzero(pixels[..., 3].any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return
        inside = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        place = np.array([columns[0], len(pixels) - 1 - rows[-1]]) * POINTS / DPI
        for each in self.formats:
            if each.dpi is None:
                each.renderer.draw_image(each.renderer.new_gc(), *place, inside[::-1])

    def targets(self, gc):
        """Yield renderer, scale of points in it and graphics context there, for each format."""
        formats = self.formats
        if self.layer:
            formats = [self.layer, *(each for each in formats if each.dpi)]
        for each in formats:
            scale = each.dpi / POINTS if each.dpi else 1.0
            yield each.renderer, scale, scaled_context(gc, each.renderer, scale)

    def open_group(self, s, gid=None):
        for each in self.formats:
            each.renderer.open_group(s, gid)

    def close_group(self, s):
        for each in self.formats:
            each.renderer.close_group(s)

    def draw_path(self, gc, path, transform, rgbFace=None):
        for renderer, scale, context in self.targets(gc):
            renderer.draw_path(context, path, scaled(transform, scale), rgbFace)

    def draw_markers(self, gc, marker_path, marker_trans, path, trans, rgbFace=None):
        for renderer, scale, context in self.targets(gc):
            marker, places = scaled(marker_trans, scale), scaled(trans, scale)
            renderer.draw_markers(context, marker_path, marker, path, places, rgbFace)

    def draw_path_collection(
        self, gc, master_transform, paths, all_transforms, offsets, offset_trans, *others, **more
    ):
        for renderer, scale, context in self.targets(gc):
            renderer.draw_path_collection(
                context,
                scaled(master_transform, scale),
                paths,
                all_transforms,
                offsets,
                scaled(offset_trans, scale),
                *others,
                **more,
            )

    def draw_quad_mesh(
        self, gc, master_transform, width, height, coordinates, offsets, offset_trans, *others
    ):
        for renderer, scale, context in self.targets(gc):
            renderer.draw_quad_mesh(
                context,
                scaled(master_transform, scale),
                width,
                height,
                coordinates,
                offsets,
                scaled(offset_trans, scale),
                *others,
            )

    def draw_image(self, gc, x, y, im, transform=None):
        for renderer, scale, context in self.targets(gc):
            if scale in (1.0, DPI / POINTS):
                pixels = im
            else:
                wanted = [max(1, round(n * scale * POINTS / DPI)) for n in im.shape[1::-1]]
                pixels = np.array(Image.fromarray(im).resize(wanted, Image.Resampling.BOX))
            renderer.draw_image(context, scale * x, scale * y, pixels)

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        for renderer, scale, context in self.targets(gc):
            renderer.draw_text(context, scale * x, scale * y, s, prop, angle, ismath, mtext)


# One that stays, because matplotlib keeps the sizes of texts for each renderer.
SPLITTER = Splitter()


def scaled(transform, scale):
    """A transform to points as one to pixels."""
    return transform if scale == 1 else transform + Affine2D().scale(scale)


def scaled_context(gc, renderer, scale):
    """The graphics context of another renderer that is equal to `gc`, which clips in points.

    Widths of lines are points in all of them.
    """
    context = renderer.new_gc()
    context.copy_properties(gc)
    if scale == 1:
        return context
    if (clip := gc.get_clip_rectangle()) is not None:
        context.set_clip_rectangle(Bbox(scale * clip.get_points()))
    path, transform = gc.get_clip_path()
    if path is not None:
        context.set_clip_path(TransformedPath(path, scaled(transform, scale)))
    return context
