"""What a run prints: the check of the inputs and the summary."""

import math


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
        for left_out in item.plan.left_out:
            print(f"  not in these files, left out: {left_out}")
    names = {feature.name for feature in row}
    missing = [f.name for f in job.declarations.scalars if f.name not in names]
    if missing:
        print(f"features left out, not all samples carry them: {', '.join(missing)}")
    regions = ", ".join(region.name for region in job.declarations.regions)
    print(f"good: {len(prepared)} samples, regions {regions}, {len(row)} features")


def print_summary(job, cutflows, folder, files, seconds):
    """Print the weighted cutflow of each region and what was written."""
    kinds = {sample.name: sample.kind for sample in job.samples.samples}
    for region in job.declarations.regions:
        passed = cutflows[region.name]
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
        hidden = [s.name for s in job.samples.samples if s.name not in passed]
        if hidden:
            print(f"blind: {', '.join(hidden)} not looked at, --unblind does")
    read = {name: rows[0].entries for passed in cutflows.values() for name, rows in passed.items()}
    print(f"\n{sum(read.values())} events of {len(read)} samples in {seconds:.1f} s")
    print(f"written to {folder}: {', '.join(top_names(files))}")


def print_row(name, width, sums, entries):
    """Print sums of weights after each cut, and the selected entries."""
    print(f"{name:<{width}}" + "".join(f"  {value:14.2f}" for value in sums) + f"  {entries:9d}")


def top_names(files):
    """File names, with those of a folder counted."""
    inside = {}
    for path in files:
        inside.setdefault(path.parts[0], []).append(path)
    return [f"{n}/ ({len(p)} tables)" if len(p[0].parts) > 1 else n for n, p in inside.items()]
