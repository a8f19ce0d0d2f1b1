"""What a run prints: the check of the inputs and the summary."""

import math
from pathlib import Path

from analysis.errors import listed


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
        for left_out in item.plan.left_out:
            print(f"  not in these files, left out: {left_out}")
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
    names = {feature.name for feature in row}
    missing = [f.name for f in job.declarations.scalars if f.name not in names]
    if missing:
        print(f"features left out, not all samples carry them: {', '.join(missing)}")
    regions = ", ".join(region.name for region in job.declarations.regions)
    drawn = sum(feature.binning is not None for feature in row)
    print(f"good: {len(prepared)} samples, regions {regions}, {drawn} features")


def print_files(inputs):
    """Print the files of a sample as a table."""
    width = max(len(name_of(file.path)) for file in (*inputs.files, *inputs.skipped))
    print(f"  {'':<{width}} {'entries':>10} {'MB':>9}  {'compression':<12} checksums")
    for file, look in zip(inputs.files, inputs.looks, strict=True):
        size = "" if file.size is None else f"{file.size / 1e6:.1f}"
        known = look.known and look.known.partition(":")[0]
        sums = " and ".join(filter(None, ("ROOT's" * look.protected, known))) or "none"
        name = name_of(file.path)
        print(f"  {name:<{width}} {file.entries:10d} {size:>9}  {look.compression:<12} {sums}")
    for file in inputs.skipped:
        print(f"  {name_of(file.path):<{width}} left out: {file.reason}")


def name_of(path):
    """The name of a file or URL without its folder."""
    return Path(path).name


def print_summary(job, results, folder, seconds):
    """Print the weighted cutflow of each region and what was written (run.Results)."""
    kinds = {sample.name: sample.kind for sample in job.samples.samples}
    for region in job.declarations.regions:
        passed = results.cutflows[region.name]
        print(f"\n{region.name}: sum of weights after each cut, events in the last column")
        cuts = ["all", *(cut.name for cut in region.cuts)]
        width = max([len(name) for name in passed] + [len("background")])
        print(f"{'':<{width}}" + "".join(f"  {cut:>14.14}" for cut in cuts) + f"  {'events':>9}")
        for name, rows in passed.items():
            print_row(name, width, [row.sumw for row in rows], rows[-1].entries)
        background = [rows for name, rows in passed.items() if kinds[name] == "background"]
        if len(background) > 1:
            sums = [math.fsum(row.sumw for row in rows) for rows in zip(*background, strict=True)]
            last = [rows[-1] for rows in background]
            error = math.sqrt(math.fsum(row.sumw2 for row in last))
            print_row("background", width, sums, sum(row.entries for row in last))
            print(f"{'':<{width}}  background {sums[-1]:.2f} +- {error:.2f}")
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


def print_row(name, width, sums, entries):
    """Print sums of weights after each cut, and the selected entries."""
    print(f"{name:<{width}}" + "".join(f"  {value:14.2f}" for value in sums) + f"  {entries:9d}")


def top_names(files):
    """File names, with those of a folder counted."""
    inside = {}
    for path in files:
        inside.setdefault(path.parts[0], []).append(path)
    return [f"{n}/ ({len(p)} tables)" if len(p[0].parts) > 1 else n for n, p in inside.items()]
