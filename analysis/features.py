"""Features: each is a column of the table, a histogram and an input of the network.

The cells of the rapidity-mass matrix come from the layout, the others are a line each below. The
objects of an event travel with it in columns that are neither histograms nor inputs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Binning:
    """Bins of equal width."""

    bins: int
    low: float
    high: float


@dataclass(frozen=True)
class Feature:
    """A number per selected event."""

    name: str
    expression: str  # RDataFrame string; empty for a cell of the matrix, which has no own column
    label: str  # LaTeX
    unit: str  # empty where it has none
    binning: Binning | None  # None: no histogram
    integer: bool = False  # stored as 32 bit integer instead of float
    network: bool = True  # an input of the network
    cell: tuple[int, int] | None = None  # row and column in the matrix
    needs: tuple[str, ...] = ()  # left out for formats without these columns
    otherwise: str = ""  # its expression for these formats, with which it is not left out
    # Of a code: instead of its number the network has an input for each of these, 1 where it is it.
    categories: tuple[int, ...] = ()


@dataclass(frozen=True)
class ObjectType:
    """Objects of one kind in the matrix."""

    name: str  # part of the names of the cells
    multiplicity: int  # objects beyond it are left out
    of: str  # the arrays: lep, jet or pho
    mask: str  # an object of the selection
    label: str  # LaTeX


@dataclass(frozen=True)
class Layout:
    """A rapidity-mass matrix: its object types in order, its energy unit and its h."""

    name: str
    types: tuple[ObjectType, ...]
    energy_scale: float = 1.0  # GeV; energies and masses are divided by it
    h: str = "published"  # cosh(dy / 2) - 1, or "thesis": cosh(dy) - 1

    @property
    def size(self):
        """Rows of the matrix."""
        return 1 + sum(kind.multiplicity for kind in self.types)

    def expression(self, absent):
        """RDataFrame string that fills the matrix of an event.

        absent: objects that the input format does not carry; their part of the matrix stays empty
        """
        types = ", ".join(f'{{"{kind.name}", {kind.multiplicity}}}' for kind in self.types)
        objects = ", ".join(
            "Objects{}"
            if kind.mask in absent
            else f"objects({kind.of}Pt, {kind.of}Eta, {kind.of}Phi, {kind.of}M, {kind.mask})"
            for kind in self.types
        )
        h = f"RMM::H::k{self.h.capitalize()}"
        return (
            f"static const RMM matrix({{{types}}}, {self.energy_scale!r}, {h}); "
            f"return matrix(met_Et, met_Phi, {objects});"
        )


JET = ObjectType("jet", 4, "jet", "jet_SG", "j")
ELECTRON = ObjectType("ele", 5, "lep", "ele_SG", "e")
MUON = ObjectType("muo", 5, "lep", "muo_SG", r"\mu")

LAYOUTS = (
    Layout("T3N5", (JET, ELECTRON, MUON)),
    Layout(
        "T4N5",
        (
            ObjectType("ljet", 6, "jet", "ljet_SG", "j"),
            ObjectType("bjet", 6, "jet", "bjet_SG", "b"),
            ELECTRON,
            MUON,
        ),
    ),
    Layout(
        "T5N10",
        (
            ObjectType("ljet", 10, "jet", "ljet_SG", "j"),
            ObjectType("bjet", 10, "jet", "bjet_SG", "b"),
            ELECTRON,
            MUON,
            ObjectType("pho", 5, "pho", "pho_SG", r"\gamma"),
        ),
    ),
)

DEFAULT_LAYOUT = "T3N5"

MET_LABEL = r"E_T^{\mathrm{miss}}"

CODES = Binning(6, -0.5, 5.5)
FLAVOURS = tuple(range(6))
COUNT = Binning(11, -0.5, 10.5)
MOMENTUM = Binning(50, 0.0, 500.0)
CHARGE = Binning(3, -1.5, 1.5)
MASS = Binning(60, 0.0, 600.0)
TOTAL = Binning(60, 0.0, 1500.0)

FEATURES = (
    Feature(
        "flcomp",
        "flavourComp3L(Take(lepFlavor, leptons))",
        "Flavours",
        "",
        CODES,
        integer=True,
        categories=FLAVOURS,
    ),
    Feature("lepPt_0", "ranked(lepPt, leptons, 0)", r"$p_T(\ell_1)$", "GeV", MOMENTUM),
    Feature("lepPt_1", "ranked(lepPt, leptons, 1)", r"$p_T(\ell_2)$", "GeV", MOMENTUM),
    Feature("lepPt_2", "ranked(lepPt, leptons, 2)", r"$p_T(\ell_3)$", "GeV", MOMENTUM),
    Feature("lepCharge_0", "ranked(lepCharge, leptons, 0)", r"$q(\ell_1)$", "", CHARGE, True),
    Feature("lepCharge_1", "ranked(lepCharge, leptons, 1)", r"$q(\ell_2)$", "", CHARGE, True),
    Feature("lepCharge_2", "ranked(lepCharge, leptons, 2)", r"$q(\ell_3)$", "", CHARGE, True),
    Feature("m_3l", "three.m", r"$m(3\ell)$", "GeV", Binning(50, 0.0, 1000.0)),
    Feature("m_sfos", "sfos.mass", r"$m_{\mathrm{SFOS}}$", "GeV", Binning(60, 0.0, 300.0)),
    Feature("m_ossf_z", "distanceFromZ(sfos.mass)", r"$|m_{\mathrm{SFOS}} - m_Z|$", "GeV", MASS),
    Feature("m_same_sign", "pairs.sameSign", r"$m_{\mathrm{SS}}^{\max}$", "GeV", MASS),
    Feature("m_pair_min", "pairs.lightest", r"$m_{\ell\ell}^{\min}$", "GeV", MASS),
    Feature("m_pair_max", "pairs.heaviest", r"$m_{\ell\ell}^{\max}$", "GeV", MASS),
    Feature("m_T_unpaired", "transverse.unpaired", r"$m_T(\ell_{\mathrm{other}})$", "GeV", MASS),
    Feature("m_T_min", "transverse.least", r"$m_T^{\min}(\ell)$", "GeV", MASS),
    Feature("m_T_max", "transverse.most", r"$m_T^{\max}(\ell)$", "GeV", MASS),
    Feature(
        "m_T_3l",
        "transverseMass(three.pt, three.phi, three.m, met_Et, met_Phi)",
        r"$m_T(3\ell)$",
        "GeV",
        TOTAL,
    ),
    Feature("pt_3l", "three.pt", r"$p_T(3\ell)$", "GeV", MOMENTUM),
    Feature(
        "pt_3l_met",
        "addedPt(three.pt, three.phi, met_Et, met_Phi)",
        rf"$p_T(3\ell + {MET_LABEL})$",
        "GeV",
        MOMENTUM,
    ),
    Feature(
        "met_significance",
        "met_Sign",
        r"$E_T^{\mathrm{miss}}$ significance",
        "",
        Binning(40, 0.0, 20.0),
        needs=("met_Sign",),
    ),
    Feature("ht_lep", "Sum(lepPt[lep_SG])", r"$H_T(\ell)$", "GeV", Binning(50, 0.0, 1000.0)),
    Feature("ht_jet", "Sum(jetPt[jet_SG])", r"$H_T(j)$", "GeV", Binning(50, 0.0, 1000.0)),
    Feature("lt_met", "ht_lep + met_Et", rf"$L_T + {MET_LABEL}$", "GeV", TOTAL),
    Feature(
        "m_eff",
        "ht_lep + ht_jet + met_Et",
        r"$m_{\mathrm{eff}}$",
        "GeV",
        Binning(60, 0.0, 3000.0),
    ),
    Feature("n_ossf", "pairs.sfos", r"$N(\mathrm{SFOS})$", "", COUNT, True),
    Feature(
        "charge_sum",
        "chargeSum(lepCharge, leptons)",
        r"$\sum q(\ell)$",
        "",
        Binning(7, -3.5, 3.5),
        True,
    ),
    Feature("n_jet", "Sum(jet_SG)", r"$N(j)$", "", COUNT, True),
    Feature("n_bjet", "Sum(bjet_SG)", r"$N(b)$", "", COUNT, True),
    Feature("n_ele", "Sum(ele_SG)", r"$N(e)$", "", COUNT, True),
    Feature("n_muo", "Sum(muo_SG)", r"$N(\mu)$", "", COUNT, True),
)


@dataclass(frozen=True)
class Carried:
    """Objects that travel with their event, so that it can be computed again with others."""

    of: str  # the arrays: lep, jet or pho
    multiplicity: int  # objects beyond it do not travel
    order: str  # a variable of the selection: their positions, highest pT first
    properties: tuple[str, ...]  # arrays are <of><property>, columns <of><property>_<rank>


CARRIED = (
    Carried("lep", 3, "leptons", ("Pt", "Eta", "Phi", "M", "Flavor", "Charge")),
    Carried("jet", 10, "jets", ("Pt", "Eta", "Phi", "M", "BTag")),
    Carried("pho", 5, "photons", ("Pt", "Eta", "Phi", "M")),
)


def travelling(layout):
    """The CARRIED of a layout: photons only with one that has them."""
    return tuple(
        each
        for each in CARRIED
        if each.of != "pho" or any(kind.of == each.of for kind in layout.types)
    )


# Beside the identity of an event, where all samples carry it.
LUMI_BLOCK = Feature(
    "LumiBlock",
    "LumiBlock",
    "Luminosity block",
    "",
    None,
    integer=True,
    network=False,
    needs=("LumiBlock",),
)


def object_columns(layout):
    """Return the columns of the objects that travel with an event.

    All are float32; 0 where there is no such object.
    """
    columns = [
        Feature(
            f"{each.of}{what}_{rank}",
            f"ranked({each.of}{what}, {each.order}, {rank})",
            "",
            "GeV" if what in ("Pt", "M") else "",
            None,
            network=False,
            needs=(each.order, f"{each.of}{what}"),
            otherwise="0",
        )
        for each in travelling(layout)
        for what in each.properties
        for rank in range(each.multiplicity)
    ]
    return (*columns, Feature("met_Phi", "met_Phi", "", "", None, network=False))


def carried(layout):
    """Return those of these columns that no Feature declares."""
    declared = {feature.name for feature in FEATURES}
    return tuple(column for column in object_columns(layout) if column.name not in declared)


def scalars(layout):
    """Return all features of a layout beside its cells."""
    return (*FEATURES, *counts(layout), *carried(layout), LUMI_BLOCK)


def cells(layout):
    """Return the features that are the cells of a layout, row by row.

    Their names are those of the compiled functor, `RMM::labels()`.
    """
    energy = layout.energy_scale
    objects = [("met", MET_LABEL, True)]
    for kind in layout.types:
        for rank in range(kind.multiplicity):
            name = f"{kind.name}_{rank}"
            objects.append((name, f"{kind.label}_{{{rank + 1}}}", rank == 0))
    unit = "GeV" if energy == 1.0 else ""
    result = []
    for row, (row_name, row_label, leading) in enumerate(objects):
        for column, (column_name, column_label, _) in enumerate(objects):
            if row == column == 0:
                made = ("e_T_miss", MET_LABEL, True, 500.0)
            elif row == 0:
                made = (f"m_T_{column_name}", f"m_T({column_label})", True, 500.0)
            elif column == 0:
                made = (f"h_L_{row_name}", f"h_L({row_label})", False, 1.0)
            elif row == column and leading:
                made = (f"e_T_{row_name}", f"e_T({row_label})", True, 500.0)
            elif row == column:
                made = (f"delta_e_t_{row_name}", rf"\delta e_T({row_label})", False, 1.0)
            elif row < column:
                name = f"m_{row_name}_{column_name}"
                made = (name, f"m({row_label}, {column_label})", True, 1000.0)
            else:
                name = f"h_{row_name}_{column_name}"
                made = (name, f"h({row_label}, {column_label})", False, 0.2)
            name, label, is_energy, high = made
            binning = Binning(50, 0.0, high / energy if is_energy else high)
            result.append(
                Feature(
                    name,
                    "",
                    f"${label}$",
                    unit if is_energy else "",
                    binning,
                    cell=(row, column),
                )
            )
    return tuple(result)


def counts(layout):
    """Return the numbers of objects of a layout's types that FEATURES does not declare already.

    They tell an object that is missing from one whose cells are zero. Formats without objects of a
    type have none of them.
    """
    declared = {feature.name for feature in FEATURES}
    return tuple(
        Feature(
            f"n_{kind.name}",
            f"Sum({kind.mask})",
            f"$N({kind.label})$",
            "",
            COUNT,
            integer=True,
            needs=(kind.mask,),
            otherwise="0",
        )
        for kind in layout.types
        if f"n_{kind.name}" not in declared
    )
