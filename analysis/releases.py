"""Releases of ATLAS Open Data for education: what they are called, their data, their simulation.

A dataset of simulation has a number. The ones listed here add up to the expected events of a
release, each process by one generator; a release also holds alternatives to them, and signals.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Period:
    """A period of data taking."""

    name: str
    luminosity_ifb: float | None  # None: only that of the whole year is published
    year: str = ""  # of which it is a part


@dataclass(frozen=True)
class Release:
    """A release of collisions and their simulation."""

    name: str  # short
    full_name: str  # as atlasopenmagic calls it
    schema: str
    skim: str  # three-lepton events
    data_file: str  # regular expression of file names, with the groups `period` and maybe `year`
    periods: tuple[Period, ...]
    datasets: dict[str, tuple[int, ...]]  # numbers of the datasets of our processes
    luminosity_ifb: float  # of all periods
    normalisation: str  # METADATA or NTUPLE: which one is right for all its skims


METADATA, NTUPLE = "metadata", "ntuple"
OTHER = "other"  # the process of backgrounds that no release lists


def numbers(*parts):
    """Numbers of datasets: single ones, and ranges as (first, last)."""
    pairs = [part if isinstance(part, tuple) else (part, part) for part in parts]
    return tuple(number for first, last in pairs for number in range(first, last + 1))


# Luminosities of 2020: as its notebooks print them, a digit each, that of all periods 10.064.
EDUCATION_2020 = Release(
    name="2020",
    full_name="2020e-13tev",
    schema="opendata2020",
    skim="3lep",
    data_file=r"data_(?P<period>[A-D])\.",
    periods=(Period("A", 0.5), Period("B", 1.9), Period("C", 2.9), Period("D", 4.7)),
    luminosity_ifb=10.064,
    # Its metadata hold the sum of weights of one skim, and that of others differs: by a factor
    # of 39 for 361107, and 10 for 410000. The files hold their own.
    normalisation=NTUPLE,
    datasets={
        "diboson3L": numbers(363491),
        "diboson4L": numbers(363490),
        "diboson2L": numbers(363356, (363358, 363360), 363489, 363492, 363493),
        "Zeejets": numbers(361106),
        "Zmmjets": numbers(361107),
        "Zttjets": numbers(361108),
        "Wjets": numbers((361100, 361105)),
        "ttbar": numbers(410000),
        "singletop": numbers((410011, 410014), 410025, 410026),
        "topOther": numbers(410155, 410218, 410219),
        "higgs": numbers(
            *(341122, 341155, 341947, 341964, 344235, 345060, 345323, 345324, 345325, 345327),
            *(345336, 345337, 345445),
        ),
    },
)

# Luminosities of 2025: those of the years are the final ones of ATLAS, arXiv:2212.09379; the only
# period with one in the notebooks of the release is D of 2015.
EDUCATION_2025 = Release(
    name="2025",
    full_name="2025e-13tev-beta",
    schema="opendata2025",
    skim="exactly3lep",
    data_file=r"data(?P<year>\d\d)_period(?P<period>[A-Z])\.",
    periods=(
        Period("2015", 3.24),
        Period("2016", 33.40),
        Period("2015D", 0.105, "2015"),
        *(Period(f"2015{letter}", None, "2015") for letter in "EFGHJ"),
        *(Period(f"2016{letter}", None, "2016") for letter in "ABCDEFGIKL"),
    ),
    luminosity_ifb=36.64,
    normalisation=METADATA,
    datasets={
        "diboson3L": numbers(700588, 700601),
        "diboson4L": numbers(700587, 700600),
        "diboson2L": numbers(
            *((700488, 700490), (700492, 700494), 700589, 700590, (700602, 700604))
        ),
        "Zeejets": numbers((700320, 700322), 700358, (700467, 700469)),
        "Zmmjets": numbers((700323, 700325), 700359, (700470, 700472)),
        "Zttjets": numbers(700360, (700792, 700794), (700901, 700903)),
        "Wjets": numbers((700338, 700349), (700362, 700364)),
        "ttbar": numbers(410470),
        "singletop": numbers(410644, 410645, 410658, 410659, 601352, 601355),
        "topOther": numbers(
            *(304014, 410081, (410155, 410157), (410218, 410220), 410408, 410560, 412043)
        ),
        "triboson": numbers((364242, 364249)),
        "higgs": numbers(
            *(345060, 345066, (345120, 345122), 345324, 345948, (346190, 346192), 346228),
            *((346310, 346312), (346343, 346345)),
        ),
    },
)

RELEASES = {release.name: release for release in (EDUCATION_2020, EDUCATION_2025)}
