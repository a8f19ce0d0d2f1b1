"""What a run prints: the check of the inputs and the summary."""

import math
from pathlib import Path

from analysis import console
from analysis.errors import listed
from analysis.features import LUMI_BLOCK
from analysis.prepare import coverage


def print_check(job, prepared, row):
    """Print what the event loops would read and what they leave out."""
    for item in prepared:
        files = f"{len(item.inputs.files)} file{'s' * (len(item.inputs.files) > 1)}"
        weight = "weight 1"
        if item.normalisation is not None:
            weight = f"normalisation {item.normalisation.constant:.6g}"
            if item.normalisation.from_ntuple:
                weight += " x cross-section / sum of weights of the ntuple"
            if item.normalisation.by_campaign:
                weight += " x luminosity of the campaign"
        print(f"{item.sample.name}: {item.entries} entries in {files}, {weight}")
        print_files(item.inputs)
        if item.skimmed:
            print(f"  a skim: {item.skimmed.rejected_events} events more are in the cutflow")
        for left_out in item.plan.left_out:
            print(f"  not in these files, left out: {left_out}")
    if covered := coverage(prepared):
        print(*console.hanging("", covered.line(), console.width()), sep="\n")
        if covered.missing:
            print(*console.hanging("  ", covered.warning(), console.width()), sep="\n")
    bare = [
        file.path
        for item in prepared
        for file, look in zip(item.inputs.files, item.inputs.looks, strict=True)
        if not (look.protected or look.known)
    ]
    if bare:
        print(
            f"a flipped bit would not show in {listed(map(name_of, bare))}: ROOT keeps no "
            "checksums there; write some beside them with sha256sum > SHA256SUMS"
        )
    names = {*(feature.name for feature in row), LUMI_BLOCK.name}  # that few formats carry
    missing = [f.name for f in job.declarations.scalars if f.name not in names]
    if missing:
        print(f"features left out, not all samples carry them: {', '.join(missing)}")
    regions = ", ".join(region.name for region in job.declarations.regions)
    drawn = sum(feature.binning is not None for feature in row)
    print(f"good: {len(prepared)} samples, regions {regions}, {drawn} features")


def print_files(inputs):
    """Print the files of a sample as a table."""
    rows = []
    for file, look in zip(inputs.files, inputs.looks, strict=True):
        size = "" if file.size is None else f"{file.size / 1e6:.1f}"
        known = look.known and look.known.partition(":")[0]
        sums = " and ".join(filter(None, ("ROOT's" * look.protected, known))) or "none"
        rows.append((name_of(file.path), str(file.entries), size, look.compression, sums))
    heads = ("", "entries", "MB", "compression", "checksums")
    for line in console.table(heads, rows, console.width() - 2):
        print(f"  {line}")
    for file in inputs.skipped:
        print(*console.hanging(f"  {name_of(file.path)} left out: ", file.reason), sep="\n")


def name_of(path):
    """The name of a file or URL without its folder."""
    return Path(path).name


def print_summary(job, results, folder, seconds):
    """Print the weighted cutflow of each region and what was written (run.Results)."""
    kinds = {sample.name: sample.kind for sample in job.samples.samples}
    for region in job.declarations.regions:
        passed = results.cutflows[region.name]
        print(f"\n{region.name}: sum of weights after each cut, events in the last column")
        heads = ["", "all", *(cut.name for cut in region.cuts), "events"]
        flows = {
            name: ([row.sumw for row in rows], rows[-1].entries) for name, rows in passed.items()
        }
        background = [rows for name, rows in passed.items() if kinds[name] == "background"]
        if len(background) > 1:
            sums = [math.fsum(row.sumw for row in rows) for rows in zip(*background, strict=True)]
            flows["background"] = sums, sum(rows[-1].entries for rows in background)
        rows = [
            (name, *(figures(value, kinds.get(name)) for value in sums), str(events))
            for name, (sums, events) in flows.items()
        ]
        print(*console.table(heads, rows, console.width()), sep="\n")
        if len(background) > 1:
            error = math.sqrt(math.fsum(rows[-1].sumw2 for rows in background))
            print(f"background {sums[-1]:.2f} +- {error:.2f}")
        hidden = [s.name for s in job.samples.samples if s.name not in {**passed, **results.failed}]
        if hidden:
            print(f"blind: {', '.join(hidden)} not looked at, --unblind does")
    read = {
        name: rows[0].entries
        for passed in results.cutflows.values()
        for name, rows in passed.items()
    }
    samples = f"{len(read)} sample{'s' * (len(read) != 1)}"
    print(f"\n{sum(read.values())} events of {samples} in {seconds:.1f} s")
    if results.kept:
        print(
            f"{results.kept} of {samples} have not changed since they were made; --force makes "
            "them again"
        )
    if results.files:
        print(f"written to {folder}: {', '.join(top_names(results.files))}")
    elif results.failed:
        print(f"{folder} keeps its earlier, complete run; the samples above wait for the others")
    else:
        print(f"{folder} is up to date")
    if results.failed:
        print(f"failed, not among the products: {', '.join(results.failed)}")


def figures(value, kind=None):
    """A sum of weights with four or more significant digits, or events of data."""
    size = abs(value)
    if size == 0 or not math.isfinite(size):
        return f"{value:g}"
    if kind == "data" and value % 1 == 0:
        return f"{value:.0f}"
    if not 1e-4 <= size < 1e9:
        return f"{value:.4g}"
    place = math.floor(math.log10(size))
    return f"{value:.{max(0, min(3, 4 - place)) if place >= 0 else 3 - place}f}"


def top_names(files):
    """File names, with those of a folder counted."""
    inside = {}
    for path in files:
        inside.setdefault(path.parts[0], []).append(path)
    return [
        f"{name}/ ({len(paths)} table{'s' * (len(paths) > 1)})" if len(paths[0].parts) > 1 else name
        for name, paths in inside.items()
    ]
