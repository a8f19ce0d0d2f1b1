"""The files beside the page: each picture as SVG and PDF, its numbers, and what of them may stay.

OUT/report/files/<place>.svg  .pdf       of any size
OUT/report/files/<place>.png             small, which the page has inside
OUT/report/files/<place>.csv             what is drawn, where that is known
OUT/report/files/manifest.json           from what each part of the page was made

A part is a number of pictures that are made together, with a key: a digest of all that they are
made from, the program included. A part of an earlier page whose key and files are the same is not
drawn again.
"""

import hashlib
import io
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path

from markupsafe import Markup
from PIL import Image

import analysis
from analysis.content import FLAG, Fields, ListOf, MapOf, Maybe, matching, text, whole
from analysis.errors import InputError
from analysis.files import checksum, digest, read_json, write_json
from analysis.hdf5 import sha256_of
from plotting.renderers import draw_once
from plotting.save import NUMBERS, as_csv
from plotting.style import drawing

FILES = "files"  # folder beside the page
MANIFEST = "manifest.json"
SMALL = "png"  # what the page has inside
COLOURS = 40  # in the palette of a small picture, which makes it a third as large

# What may change without any change of a picture.
PLACES = ("output", "folder", "formats", "processes")  # in Options
DECLARED = (
    "processes regions layout features scalars objects variables systematics luminosity_ifb unblind"
).split()  # of run.json, the only ones that do change pictures
OF_SAMPLES = ("name", "process", "kind", "schema", "left_out", "tables")
LIBRARIES = ("matplotlib", "mplhep", "numpy", "scipy", "pandas", "pillow")


@dataclass(frozen=True)
class Picture:
    """A picture of the page."""

    place: str  # of its files, below the folder of all, without ending
    title: str  # text, or HTML as Markup
    text: str  # for those who do not see it
    group: str  # part of the page
    width: int  # pixels of the small one
    height: int
    told: int | None  # number of an explained event
    files: dict[str, str]  # ending: SHA-256

    @property
    def numbers(self):
        """Whether what is drawn is known in numbers."""
        return NUMBERS in self.files


@dataclass(frozen=True)
class Part:
    """Pictures that are made together."""

    key: str  # digest of what they are made from
    pictures: tuple[Picture, ...] = ()
    lines: tuple[str, ...] = ()  # what is said about them
    about: str = ""  # what else must be known of them
    kept: bool = False  # from an earlier page


SHA256 = matching("[0-9a-f]{64}", "a SHA-256")
HTML = matching("(?s:(?:[^<>]|</?su[bp]>)*)", "text with subscripts")  # what labels become
PICTURE = Fields(
    {
        "place": matching(r"(?!/|.*\.\.)[^\\\n]+", "a path below"),
        "title": text(10_000),
        "html": FLAG,
        "text": text(10_000),
        "group": text(100),
        "width": whole(1, 100_000),
        "height": whole(1, 100_000),
        "told": Maybe(whole()),
        "files": MapOf(matching("svg|pdf|png|csv", "an ending"), SHA256),
    }
)
PART = Fields(
    {
        "key": SHA256,
        "pictures": ListOf(PICTURE, most=10_000),
        "lines": ListOf(text(100_000)),
        "about": text(1_000_000),
    }
)
RULE = Fields({"format": whole(1, 1), "parts": MapOf(text(1000), PART)})


class Shelf:
    """Takes the files of pictures from an earlier page, or puts new ones beside them.

    old: folder of the earlier page, None: nothing is taken from there; new: of the one being made
    """

    def __init__(self, old, new):
        self.old, self.new = old, new
        self.parts = read_manifest(old) if old else {}

    def kept(self, name, key):
        """The Part of a name of the earlier page if it has this key and its files are there."""
        part = self.parts.get(name)
        if part is None or part.key != key:
            return None
        for picture in part.pictures:
            for ending, sha256 in picture.files.items():
                old, new = (f / f"{picture.place}.{ending}" for f in (self.old, self.new))
                try:
                    content = old.read_bytes()
                except OSError:
                    return None
                if hashlib.sha256(content).hexdigest() != sha256:
                    return None
                new.parent.mkdir(parents=True, exist_ok=True)
                new.write_bytes(content)
        return part

    def store(self, drawn, place, dpi, told=None):
        """Write the files of a Drawn; returns its Picture."""
        with drawing():
            made = draw_once(drawn.figure, ("svg", "pdf", SMALL), dpi)
        small = made[SMALL].quantize(
            COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        buffer = io.BytesIO()
        small.save(buffer, format="PNG", compress_level=6)
        made[SMALL] = buffer.getvalue()
        if drawn.numbers is not None:
            made[NUMBERS] = as_csv(drawn.numbers)
        base = self.new / place
        base.parent.mkdir(parents=True, exist_ok=True)
        for ending, content in made.items():
            Path(f"{base}.{ending}").write_bytes(content)
        return Picture(
            place,
            drawn.title,
            drawn.text or drawn.title,
            drawn.group,
            *small.size,
            told,
            {ending: hashlib.sha256(content).hexdigest() for ending, content in made.items()},
        )


def read_manifest(folder):
    """{name: Part} of an earlier page; one that is not as this program writes it is forgotten."""
    try:
        content = read_json(folder / MANIFEST, "")
    except InputError:
        return {}
    if any(RULE.problems(content, "")):
        return {}
    shown = [picture for part in content["parts"].values() for picture in part["pictures"]]
    if any(p["html"] and any(HTML.problems(p["title"], "")) for p in shown):
        return {}
    parts = {}
    for name, part in content["parts"].items():
        pictures = []
        for picture in part["pictures"]:
            title = Markup(picture["title"]) if picture["html"] else picture["title"]
            own = {field.name: picture[field.name] for field in fields(Picture)}
            pictures.append(Picture(**own | {"title": title}))
        parts[name] = Part(**part | {"pictures": tuple(pictures), "kept": True})
    return parts


def write_manifest(folder, parts):
    """Write from what the parts {name: Part} of a page were made."""
    content = {}
    for name, part in parts.items():
        pictures = [asdict(p) | {"html": isinstance(p.title, Markup)} for p in part.pictures]
        content[name] = asdict(part) | {"pictures": pictures}
        del content[name]["kept"]
    write_json(folder / MANIFEST, {"format": 1, "parts": content})


def key_of(options, *content, files=()):
    """The key of what is made from JSON values and from the content of files of a run, if there.

    It changes with the program, the options, and what the run declares.
    """
    chosen = {f.name: repr(getattr(options, f.name)) for f in fields(options)}
    record, folder = options.results.record, options.results.folder
    there = sorted(path for path in files if path.is_file())
    return digest(
        [
            program(),
            {name: value for name, value in chosen.items() if name not in PLACES},
            {name: record.get(name) for name in DECLARED},
            [{name: sample.get(name) for name in OF_SAMPLES} for sample in record["samples"]],
            content,
            [[str(path.relative_to(folder)), content_of(path)] for path in there],
        ]
    )


def content_of(path):
    """The SHA-256 of a file, which tables have already where they were read in this process."""
    with open(path, "rb") as file:
        return sha256_of(path, file.fileno())


@cache
def program():
    """What the program is: digests of its source, and versions of libraries that draw."""
    folders = (Path(analysis.__file__).parent, Path(__file__).parent)
    sources = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return [
        [[path.parent.name, path.name, checksum(path)] for path in sources],
        [version(name) for name in LIBRARIES],
    ]


def bytes_key(histograms, shifts):
    """A digest of {sample: Histogram} and Shifts."""
    found = hashlib.sha256()
    for name, one in histograms.items():
        found.update(f"{name} {len(one.sumw)} ".encode())
        for values in (one.edges, one.sumw, one.sumw2):
            found.update(values.tobytes())
    for shift in shifts:
        found.update(f"{shift.systematic} {shift.label} ".encode())
        found.update(shift.up.tobytes() + shift.down.tobytes())
    return found.hexdigest()
