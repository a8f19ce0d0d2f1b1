"""Make the embedded demo: three-lepton events at 13 TeV from Pythia 8 and a parametric detector.

    python -m analysis.demo.generate list                     processes, cross-sections, sources
    python -m analysis.demo.generate demo                     every file of this folder
    python -m analysis.demo.generate sample WZ --out WZ.root  one simulated process
    python -m analysis.demo.generate data --out data.root     pseudo-data without a signal
    python -m analysis.demo.generate benchmark --out big.root --events 840000

The stages are functions, in the order of the file: `collide` (Pythia) > `truth` > `measure` >
`branches` > `write`.  Events travel as awkward arrays, a batch at a time.  processes.toml has the
processes, README.md the origin of the detector's numbers.  Units: GeV, pb, fb^-1, mm.

A simulated event counts luminosity * 1000 * xsec * kFactor / sumw times the product of its weight
branches.  In processes with two prompt leptons a jet or photon is taken for the third one, and
`eventWeight` is the probability of that.  `sumw` (tree `meta`) sums genWeight over all collisions
tried.  Floats are rounded, momenta to 6e-5 of their value, because rounded ones compress better.
"""

import argparse
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

try:  # what `benchmark` and `list` work without
    import awkward as ak
    import fastjet
    import pythia8mc
    import vector

    vector.register_awkward()
except ImportError:
    ak = None

HERE = Path(__file__).parent
SEED = 2024  # of the simulation; the pseudo-data have the next one
CAMPAIGNS = np.array(  # RunNumber in simulation, first and last run of data, luminosity in pb^-1
    [
        (284500, 276262, 311481, 36207.65),  # mc16a: 2015, 2016
        (300000, 325713, 340453, 44307.4),  # mc16d: 2017
        (310000, 348885, 364292, 58450.1),  # mc16e: 2018
    ]
)
ELECTRON, MUON = 1, 2
LIGHT, CHARM, BOTTOM, PHOTON = range(4)  # what a jet was made of


@dataclass(frozen=True)
class Process:
    """How a process is made, from processes.toml, and how often it happens, from samples.toml."""

    name: str
    dsid: int
    source: str
    pythia: str
    trials: int
    is_signal: bool
    xsec_pb: float
    k_factor: float
    data_trials: int = 0
    fakes: int = 0
    prescale: int = 1
    negative: float = 0.0


def declared():
    """All processes by name, and the luminosity of the pseudo-data in fb^-1."""
    makings = tomllib.loads((HERE / "processes.toml").read_text())
    samples = tomllib.loads((HERE / "samples.toml").read_text())
    found = {}
    for sample in samples["sample"]:
        if sample["kind"] != "data":
            found[sample["name"]] = Process(
                name=sample["name"],
                is_signal=sample["kind"] == "signal",
                xsec_pb=sample["xsec_pb"],
                k_factor=sample.get("k_factor", 1.0),
                **makings[sample["name"]],
            )
    return found, samples["luminosity_ifb"]


PROCESSES, LUMINOSITY = declared()


# --------------------------------------------------------------------------------- collisions
def collide(process, trials, seed):
    """Try `trials` collisions with Pythia; return the truth of those with enough leptons.

    They need 3 - fakes leptons of pT > 5 and |eta| < 2.8 in the hard process.
    """

    class EnoughLeptons(pythia8mc.UserHooks):
        tried = late = 0

        def canVetoProcessLevel(self):  # noqa: N802, Pythia's name
            return True

        def doVetoProcessLevel(self, hard):  # noqa: N802, Pythia's name
            self.tried += 1
            late = self.tried > trials  # fills up the last batch, and is cut off below
            self.late += late
            leptons = sum(
                p.isFinal() and p.idAbs() in (11, 13, 15) and p.pT() > 5 and abs(p.eta()) < 2.8
                for p in hard
            )
            return leptons < 3 - process.fakes and not late

    pythia, hook = pythia8mc.Pythia("", False), EnoughLeptons()
    common = "Print:quiet = on, Beams:eCM = 13000, PartonLevel:MPI = off, TauDecays:mode = 0"
    common += f", Random:setSeed = on, Random:seed = {seed}"
    for setting in common.split(", ") + process.pythia.splitlines():
        if not pythia.readString(setting):
            raise ValueError(f"{process.name}: Pythia does not know {setting!r}")
    pythia.setUserHooksPtr(hook)
    pythia.init()
    batches = []
    while hook.tried < trials:
        batch = pythia.nextBatch(400).prt
        batches.append(truth(batch[: len(batch) - hook.late]))
    return ak.concatenate(batches)


# -------------------------------------------------------------------------------------- truth
def momenta(direction, **fields):
    """Four-momenta along others, with a pt of their own; massless unless a mass is given."""
    fields = {"eta": direction.eta, "phi": direction.phi, "mass": 0.0} | fields
    return ak.zip(fields, with_name="Momentum4D")


def pt_around(objects, others, radius):
    """Scalar sum of the pT of `others` within `radius` in (eta, phi) of each of `objects`."""
    first, second = ak.unzip(ak.cartesian([objects, others], nested=True))
    return ak.sum(second.pt[first.deltaR(second) < radius], axis=-1)


def near(objects, others, radius):
    """Is one of `others` within `radius` of each of `objects`?"""
    return pt_around(objects, others, radius) > 0


def truth(raw):
    """Prompt leptons, jets and the neutrinos' momentum of a batch of Pythia events."""
    particles, pid, final = raw.p, abs(raw.id), raw.status > 0
    neutrino = (pid == 12) | (pid == 14) | (pid == 16)
    photons = particles[final & (pid == 22)]

    # Prompt leptons come from a boson or a heavy neutrino, directly or through leptons.
    index = ak.local_index(pid)[final & ((pid == 11) | (pid == 13)) & (particles.pt > 4)]
    origin = raw.mother1[index]
    while ak.any(through := (pid[origin] >= 11) & (pid[origin] <= 16)):
        origin = ak.where(through, raw.mother1[origin], origin)
    index = index[((pid[origin] >= 23) & (pid[origin] <= 25)) | (pid[origin] > 9_900_000)]
    index = index[abs(particles.eta[index]) < 2.8]
    bare, vertex = particles[index], raw.vProd[index]

    # They and the photons within 0.1 are one; all else that is visible is clustered.
    used = ((pid == 11) | (pid == 13) | (pid == 22)) & near(particles, bare, 0.1)
    visible = particles[final & ~neutrino & ~used & (abs(particles.eta) < 4.9)]
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, 0.4)
    jets = fastjet.ClusterSequence(visible, definition).inclusive_jets(min_pt=10)

    hadron = (pid > 100) & (pid < 1_000_000) & (particles.pt > 5)
    has_charm, has_bottom = (
        near(jets, particles[hadron & ((pid // 100 % 10 == q) | (pid // 1000 % 10 == q))], 0.3)
        for q in (4, 5)
    )
    direct = particles[final & (pid == 22) & (pid[raw.mother1] < 100) & (particles.pt > 8)]
    is_photon = pt_around(jets, direct, 0.2) > 0.8 * jets.pt
    flavour = ak.where(has_bottom, BOTTOM, ak.where(has_charm, CHARM, LIGHT))
    return ak.zip(
        {
            "leptons": momenta(
                bare,
                pt=bare.pt + pt_around(bare, photons, 0.1),
                flavour=ak.where(pid[index] == 11, ELECTRON, MUON),
                charge=-np.sign(raw.id[index]),
                activity=pt_around(bare, visible, 0.2),
                d0=ak.fill_none(vertex.px * np.sin(bare.phi) - vertex.py * np.cos(bare.phi), 0),
            ),
            "jets": momenta(
                jets,
                pt=jets.pt,
                mass=np.maximum(jets.mass, 0),
                flavour=ak.where(is_photon, PHOTON, flavour),
            ),
            "nu_x": ak.sum(particles.px[final & neutrino], axis=1),
            "nu_y": ak.sum(particles.py[final & neutrino], axis=1),
        },
        depth_limit=1,
    )


# ----------------------------------------------------------------------------------- detector
def jagged(draw):
    """Turn a function that draws n random numbers into one that draws one for each object."""
    return lambda objects: ak.unflatten(draw(ak.sum(ak.num(objects))), ak.num(objects))


def by_flavour(jets, light, charm, bottom, photon):
    """The value that belongs to each jet's flavour."""
    values = np.take([light, charm, bottom, photon], ak.to_numpy(ak.flatten(jets.flavour)))
    return ak.unflatten(values, ak.num(jets))


def measure_jets(true, rng):
    """Measured jets with pile-up, shifts of the true ones in pT, and their resolutions."""
    uniform, normal = jagged(rng.random), jagged(rng.standard_normal)
    width = np.sqrt(0.8**2 * true.pt + (0.05 * true.pt) ** 2 + 2.5**2)
    shift = np.maximum(width * normal(true), -0.6 * true.pt)
    pt = true.pt + shift
    hard = momenta(
        true,
        pt=pt,
        mass=true.mass * pt / true.pt,
        flavour=true.flavour,
        passing=ak.where(pt < 60, 0.95, 0.995),
    )
    number = rng.poisson(0.25, len(true))
    size = number.sum()
    where = ak.zip({"eta": rng.uniform(-2.8, 2.8, size), "phi": rng.uniform(-np.pi, np.pi, size)})
    pile_up = momenta(
        where,
        pt=20 + rng.exponential(6, size),
        mass=rng.uniform(2, 5, size),
        flavour=np.full(size, LIGHT),
        passing=np.full(size, 0.08),
    )
    jets = ak.concatenate([hard, ak.unflatten(pile_up, number)], axis=1)
    jets = jets[(jets.pt > 20) & (abs(jets.eta) < 2.8) & (jets.flavour != PHOTON)]
    passes, rank = uniform(jets) < jets.passing, uniform(jets)
    jets["jvt"] = ak.where(passes, 1 - 0.4 * rank**2, 0.58 * rank)
    mean, spread = by_flavour(jets, -2.7, 0.3, 4.0, 0), by_flavour(jets, 1.85, 2.1, 2.45, 0)
    jets["dl1r"] = mean + spread * normal(jets)
    return jets, shift, width


def measure_leptons(true, rng):
    """Measured prompt leptons, and the shifts of the true ones in pT."""
    uniform, normal = jagged(rng.random), jagged(rng.standard_normal)
    electron, energy = true.flavour == ELECTRON, true.pt * np.cosh(true.eta)
    calorimeter = np.sqrt(0.1**2 / energy + 0.008**2)
    spectrometer = np.sqrt(0.018**2 + (1e-4 * true.pt) ** 2)
    shift = true.pt * ak.where(electron, calorimeter, spectrometer) * normal(true)
    shift = np.maximum(shift, -0.8 * true.pt)
    tail = ak.where(uniform(true) < 0.01, 4, 1)
    leptons = momenta(
        true,
        pt=true.pt + shift,
        flavour=true.flavour,
        charge=true.charge,
        d0_sig=1.05 * tail * normal(true) + true.d0 / np.hypot(0.012, 0.10 / true.pt),
        z0_sin_theta=0.06 * tail**2 * normal(true),
        loose=uniform(true) < 0.995,
        tight=uniform(true) < ak.where(electron, 0.94 - 1.6 / true.pt, 0.97),
        isolated=true.activity + 0.2 + 1.2 * normal(true) < 0.2 * true.pt,
    )
    efficiency = ak.where(electron, 0.95 - 1.4 / true.pt, 0.965 - 0.5 / true.pt)
    inside = (leptons.pt > 10) & (abs(true.eta) < ak.where(electron, 2.47, 2.7))
    return leptons[inside & (uniform(true) < efficiency)], shift


def misidentify(jets, rng):
    """At most one jet or photon per event that is taken for a lepton, and the probability."""
    uniform, normal = jagged(rng.random), jagged(rng.standard_normal)
    jets = jets[abs(jets.eta) < 2.4]
    turn_on = ak.where(jets.flavour == PHOTON, 1, np.minimum((jets.pt - 10) / 17, 1))
    as_electron = turn_on * by_flavour(jets, 1.0e-3, 1.8e-3, 3.5e-3, 8.0e-3)
    rate = as_electron + turn_on * by_flavour(jets, 1.5e-4, 2.2e-3, 6.0e-3, 0)
    # The first of exponential waiting times with these rates is a draw in proportion to them.
    waiting = -np.log1p(-uniform(jets)) / rate
    first = ak.argsort(waiting, axis=1)[:, :1]
    jet, electron_share = jets[first], (as_electron / rate)[first]
    electron = uniform(jet) < electron_share
    fakes = momenta(
        jet,
        pt=jet.pt * by_flavour(jet, 0.62, 0.60, 0.60, 1) * np.exp(0.3 * normal(jet)),
        flavour=ak.where(electron, ELECTRON, MUON),
        charge=ak.where(uniform(jet) < 0.5, 1, -1),
        d0_sig=by_flavour(jet, 2.4, 5.0, 9.0, 1.6) * normal(jet),
        z0_sin_theta=0.1 * normal(jet),
        loose=uniform(jet) < 0.95,
        tight=uniform(jet) < ak.where(electron, by_flavour(jet, 0.15, 0.45, 0.45, 0.55), 0.9),
        isolated=uniform(jet) < by_flavour(jet, 0.20, 0.15, 0.15, 0.85),
    )
    return fakes[fakes.pt > 10], ak.sum(rate, axis=1)


def measure(event, with_fake, rng):
    """The events with three leptons, as the detector sees them."""
    size = len(event)
    jets, jet_shift, jet_width = measure_jets(event.jets, rng)
    leptons, lepton_shift = measure_leptons(event.leptons, rng)
    leptons["passes_overlap"] = ~near(leptons, jets[jets.jvt > 0.59], 0.4)
    probability, fake_passes = np.ones(size), np.ones(size, bool)
    if with_fake:
        fakes, probability = misidentify(event.jets, rng)
        fakes["passes_overlap"] = fakes.pt > 0
        fake_passes = ak.any(fakes.isolated & (fakes.tight | (fakes.flavour == MUON)), axis=1)
        leptons = ak.concatenate([leptons, fakes], axis=1)
    jets = jets[~near(jets, leptons[leptons.passes_overlap], 0.4)]

    soft = 9.0
    x, y = event.nu_x + rng.normal(0, soft, size), event.nu_y + rng.normal(0, soft, size)
    for objects, shift in ((event.jets, jet_shift), (event.leptons, lepton_shift)):
        x = x - ak.sum(shift * np.cos(objects.phi), axis=1)
        y = y - ak.sum(shift * np.sin(objects.phi), axis=1)
    measured = ak.zip(
        {
            "leptons": leptons[ak.argsort(leptons.pt, ascending=False)],
            "jets": jets[ak.argsort(jets.pt, ascending=False)],
            "met": np.hypot(x, y),
            "met_phi": np.arctan2(y, x),
            "met_sign": np.hypot(x, y) / np.sqrt(soft**2 + ak.sum(jet_width**2, axis=1)),
            "fake_passes": fake_passes,
            "eventWeight": probability,
            "jvtWeight": 0.995 ** ak.num(jets),
            "bTagWeight": rng.normal(1, 0.03, size),
            "leptonWeight": 0.98 ** ak.num(leptons) * rng.normal(1, 0.01, size),
            "globalDiLepTrigSF": rng.normal(0.99, 0.005, size),
            "pileupWeight": np.exp(rng.normal(-0.005, 0.1, size)),
        },
        depth_limit=1,
    )
    return measured[ak.num(leptons) >= 3]


# --------------------------------------------------------------------------------------- ntuple
WEIGHTS = "eventWeight jvtWeight bTagWeight leptonWeight globalDiLepTrigSF pileupWeight".split()


def rounded(values, bits):
    """float32 with `bits` bits of mantissa."""
    mantissa, exponent = np.frexp(values)
    return ak.values_astype(np.ldexp(np.round(mantissa * 2**bits), exponent - bits), np.float32)


def branches(events, dsid, rng):
    """Columns of the susy format: awkward arrays become vectors, numpy arrays numbers."""
    size, is_data, leptons, jets = len(events), dsid == 0, events.leptons, events.jets
    share = CAMPAIGNS[:, 3] / CAMPAIGNS[:, 3].sum()
    campaign = CAMPAIGNS[rng.choice(len(CAMPAIGNS), size, p=share), :3].astype(np.int32)
    run = rng.integers(campaign[:, 1], campaign[:, 2], endpoint=True, dtype=np.int32)
    number = rng.choice(1 << 33, size, replace=False) if is_data else 1 + np.arange(size)
    columns = {
        "EventNumber": number.astype(np.uint64),
        "RunNumber": run if is_data else campaign[:, 0],
        "DatasetNumber": np.full(size, dsid, np.int32),
        "RandomRunNumber": run,
        "lepPt": rounded(leptons.pt, 14),
        "lepEta": rounded(leptons.eta, 14),
        "lepPhi": rounded(leptons.phi, 14),
        "lepM": rounded(ak.where(leptons.flavour == ELECTRON, 0.000511, 0.10566), 14),
        "lepFlavor": ak.values_astype(leptons.flavour, np.int32),
        "lepCharge": ak.values_astype(leptons.charge, np.int32),
        "lepD0Sig": rounded(leptons.d0_sig, 8),
        "lepZ0SinTheta": rounded(leptons.z0_sin_theta, 8),
        "lepPassOR": leptons.passes_overlap,
        "lepLoose": leptons.loose,
        "lepTight": leptons.tight,
        "lepIsoLoose_VarRad": leptons.isolated,
        "jetPt": rounded(jets.pt, 14),
        "jetEta": rounded(jets.eta, 14),
        "jetPhi": rounded(jets.phi, 14),
        "jetM": rounded(jets.mass, 10),
        "jetJVT": rounded(jets.jvt, 8),
        "jetdl1r": rounded(jets.dl1r, 8),
        "met_Et": rounded(events.met, 14),
        "met_Phi": rounded(events.met_phi, 14),
        "met_Sign": rounded(events.met_sign, 10),
    }
    for name in ("genWeight", *WEIGHTS):  # 0 in data, as in the open data
        columns[name] = rounded(0 * events.met if is_data else events[name], 10)
    return {name: ak.to_numpy(c) if c.ndim == 1 else c for name, c in columns.items()}


def create(path):
    """A ROOT file (zstd, level 5) whose bytes depend on its content and name alone."""
    import ROOT

    return ROOT.TFile(f"{path}?reproducible={path.name}", "RECREATE", "", 505)


def fill(tree, columns):
    """Add a branch per column to an empty ROOT tree, fill it row by row, write it."""
    import ROOT

    leaf = {"uint64": "l", "int64": "L", "int32": "I", "float32": "F", "float64": "D", "bool": "O"}
    element = {"int32": "int", "float32": "float", "bool": "bool"}
    buffers = []
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            buffers.append(np.zeros(1, column.dtype))
            tree.Branch(name, buffers[-1], f"{name}/{leaf[column.dtype.name]}")
        else:
            buffers.append(ROOT.std.vector[element[column.type.content.content.primitive]]())
            tree.Branch(name, buffers[-1])
    tree.SetBasketSize("*", 1 << 19)
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        for buffer, value in zip(buffers, row, strict=True):
            if isinstance(value, list):
                buffer.assign(value)
            else:
                buffer[0] = value
        tree.Fill()
    tree.Write()


def fill_meta(process, **numbers):
    """Tree `meta` of the current file: one row on the whole sample."""
    import ROOT

    tree, name = ROOT.TTree("meta", "the sample"), ROOT.std.string(process)
    tree.Branch("process", name)
    fill(tree, {key: np.array([value]) for key, value in numbers.items()})


def write(path, events, name, dsid, rng, **meta):
    """One file: tree `nominal` with the events, tree `meta` with one row on the whole sample."""
    import ROOT

    with create(path):
        fill(ROOT.TTree("nominal", "three leptons"), branches(events, dsid, rng))
        fill_meta(name, DatasetNumber=dsid, nSelected=len(events), **meta)
    print(f"{path.name:12} {meta['nGenerated']:8} tried {len(events):6} selected", flush=True)


# ------------------------------------------------------------------------------------- commands
def make_sample(process, trials, seed, path):
    """Simulate one process."""
    rng = np.random.default_rng([seed, process.dsid])
    events = measure(collide(process, trials, seed), process.fakes, rng)
    # Of the many events whose fake fails identification or isolation, one in `prescale` is kept.
    keep = events.fake_passes | (rng.random(len(events)) * process.prescale < 1)
    events["eventWeight"] = events.eventWeight * ak.where(events.fake_passes, 1, process.prescale)
    events = events[keep]
    gen_weights = np.where(rng.random(trials) < process.negative, -1.0, 1.0)
    events["genWeight"] = gen_weights[: len(events)]
    meta = {"isData": False, "xsec": process.xsec_pb, "kFactor": process.k_factor}
    meta |= {"sumw": gen_weights.sum(), "sumw2": (gen_weights**2).sum(), "nGenerated": trials}
    write(path, events, process.name, process.dsid, rng, seed=seed, **meta)


def make_data(luminosity, seed, path):
    """Pseudo-data: a Poisson number of collisions per background, accepted by event weight."""
    rng, accepted = np.random.default_rng(seed), []
    for process in PROCESSES.values():
        if process.is_signal:
            continue
        mean = process.data_trials * luminosity / LUMINOSITY
        events = measure(collide(process, rng.poisson(mean), seed), process.fakes, rng)
        probability = luminosity * 1000 * process.xsec_pb * process.k_factor / mean
        for name in WEIGHTS:
            probability = probability * events[name]
        if ak.any(probability > 1):
            print(f"{process.name}: {ak.sum(probability > 1)} events of probability above 1")
        accepted.append(events[rng.random(len(events)) < probability])
    events = ak.concatenate(accepted)
    events = events[rng.permutation(len(events))]
    meta = {"isData": True, "xsec": 1.0, "kFactor": 1.0, "nGenerated": len(events)}
    meta |= {"sumw": float(len(events)), "sumw2": float(len(events))}
    write(path, events, "data", 0, rng, seed=seed, **meta)


def make_demo(folder, seed):
    """Every file of the demo."""
    for name, process in PROCESSES.items():
        make_sample(process, process.trials, seed, folder / f"{name}.root")
    make_data(LUMINOSITY, seed + 1, folder / "data.root")
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.root"))
    ]
    (folder / "SHA256SUMS").write_text("".join(sums))


REPEAT = """
template <typename T>
struct Arrays : std::deque<std::vector<T> *> {
   bool take(TChain &chain, TBranch &branch) {
      if (branch.GetClassName() != std::string(TClass::GetClass<std::vector<T>>()->GetName()))
         return false;
      chain.SetBranchAddress(branch.GetName(), &this->emplace_back(nullptr));
      return true;
   }
   void resize(std::size_t n) { for (auto *values : *this) values->resize(n); }
};

double repeat_events(TChain &chain, TTree &tree, long wanted, long trilepton) {
   Arrays<float> floats;
   Arrays<int> ints;
   Arrays<bool> bools;
   for (TObject *object : *chain.GetListOfBranches())
      if (TString(object->GetName()).BeginsWith("lep")) {
         auto &branch = static_cast<TBranch &>(*object);
         floats.take(chain, branch) || ints.take(chain, branch) || bools.take(chain, branch);
      }
   ULong64_t number = 0;
   float weight = 0;
   double sum = 0;
   chain.SetBranchAddress("EventNumber", &number);
   chain.SetBranchAddress("genWeight", &weight);
   const auto available = chain.GetEntries();
   for (long i = 0; i < wanted; ++i) {
      chain.GetEntry(i % available);
      if (i % trilepton) {
         floats.resize(2);
         ints.resize(2);
         bools.resize(2);
      }
      number = i + 1;
      sum += weight;
      tree.Fill();
   }
   chain.ResetBranchAddresses();
   return sum;
}
"""


def make_benchmark(files, events, path, trilepton=1):
    """One file of exactly `events` events: those of `files` in turn, with new event numbers.

    trilepton: keep all leptons in one of so many events, two in the others
    """
    import ROOT

    ROOT.gInterpreter.Declare(REPEAT)
    chain = ROOT.TChain("nominal")
    for file in files:
        chain.Add(str(file))
    if chain.GetEntries() == 0:
        raise SystemExit("m3l: no events in tree 'nominal' of the files given with --from")
    with create(path):
        tree = chain.CloneTree(0)
        tree.SetAutoFlush(25_000)  # events per cluster
        sum_of_weights = ROOT.repeat_events(chain, tree, events, trilepton)
        tree.Write()
        fill_meta("benchmark", isData=False, xsec=1.0, kFactor=1.0, sumw=sum_of_weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="processes, cross-sections and their sources")
    demo = commands.add_parser("demo", help="every file of the demo")
    demo.add_argument("--out", type=Path, default=HERE, help="default: the folder of the demo")
    sample = commands.add_parser("sample", help="simulate one process")
    sample.add_argument("process", choices=PROCESSES)
    sample.add_argument("--trials", type=int, help="collisions, default: as in the demo")
    data = commands.add_parser("data", help="pseudo-data of all backgrounds")
    data.add_argument("--luminosity", type=float, default=LUMINOSITY, help="in fb^-1")
    benchmark = commands.add_parser("benchmark", help="one large file, without Pythia")
    benchmark.add_argument("--events", type=int, default=840_000, help="default: 840000")
    benchmark.add_argument(
        "--from", dest="files", nargs="+", metavar="FILE", help="default: the demo"
    )
    benchmark.add_argument(
        "--trilepton",
        type=int,
        default=1,
        metavar="N",
        help="keep all leptons in one of N events, two in the others",
    )
    benchmark.set_defaults(files=[HERE / f"{name}.root" for name in PROCESSES])
    for command, seed in ((demo, SEED), (sample, SEED), (data, SEED + 1)):
        command.add_argument("--seed", type=int, default=seed, help=f"default: {seed}")
    for command in (sample, data, benchmark):
        command.add_argument("--out", type=Path, required=True, help="ROOT file to write")
    options = parser.parse_args()
    if ak is None and options.command in ("demo", "sample", "data"):
        parser.exit(
            1, "m3l: Pythia, fastjet or awkward is missing: pip install -e '.[root,demo]'\n"
        )
    match options.command:
        case "list":
            for p in PROCESSES.values():
                cross_section = f"{p.xsec_pb:9.4g} pb x {p.k_factor:<6g}"
                print(f"{p.name:7} {p.dsid} {cross_section} {p.trials:6} collisions; {p.source}")
        case "demo":
            make_demo(options.out, options.seed)
        case "sample":
            process = PROCESSES[options.process]
            make_sample(process, options.trials or process.trials, options.seed, options.out)
        case "data":
            make_data(options.luminosity, options.seed, options.out)
        case "benchmark":
            make_benchmark(options.files, options.events, options.out, options.trilepton)


if __name__ == "__main__":
    main()
