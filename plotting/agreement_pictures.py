"""`check`: does simulation describe the data? A table and a picture per region."""

from analysis.files import write_file
from analysis.shifts import background_shifts
from plotting import agreement, pool
from plotting.chance import LEAST
from plotting.draw_agreement import draw_agreement
from plotting.save import NUMBERS, save

CHUNK = 48  # features that a process tests before it reports
SHOWN = 20  # features on the terminal


def check(options, regions, features, shape=False):
    """Data against simulation in numbers: a table and a picture per region."""
    written = []
    for region in regions:
        found = compare_all(options, region, features, shape)
        base = options.folder / "check" / region
        print(f"{region}{', blind: no data' if options.results.regions[region].blind else ''}")
        print("\n".join(agreement.table_lines(found, SHOWN)))
        if len(found) > SHOWN:
            print(f"... {len(found) - SHOWN} more in {base}.txt")
        print(agreement.summary(found))
        if any(one.verdict == agreement.TAIL for one in found):
            print(
                "tail: few events beyond the bulk; look at them, do not drop the feature for them"
            )
        lines = agreement.table_lines(found)
        write_file(base.with_name(f"{region}.txt"), "\n".join(lines) + "\n")
        write_file(base.with_name(f"{region}.csv"), agreement.as_frame(found).to_csv(index=False))
        written += [base.with_name(f"{region}.txt"), base.with_name(f"{region}.csv")]
        if any(one.tested for one in found):
            formats = [ending for ending in options.formats if ending != NUMBERS]
            written += save(agreement_figure(options, region, found), base, formats)
    return written


def compare_all(options, region, features, shape=False):
    """The Agreements of features in a region, the worst first."""
    chunks = [(options, region, part, shape) for part in pool.in_chunks(features, CHUNK)]
    return agreement.judge(pool.flat(pool.each(compare_chunk, chunks, options.processes, "tests")))


def compare_chunk(options, region, features, shape):
    """The Agreements of some (region, feature) pairs."""
    found = []
    for name in features:
        histograms = options.results.histograms(region, name)
        shifts = background_shifts(options.results, region, name, histograms)
        found.append(compare_one(options.results, region, name, histograms, shifts, shape))
    return found


def compare_one(results, region, name, histograms, shifts=(), shape=False):
    """The Agreement of one feature, from {sample: Histogram} and Shifts."""
    data, samples = agreement.parts(results, region, histograms)
    return agreement.compare(
        region,
        name,
        data,
        samples,
        unit=results.features[name].unit,
        shifts=[shift.mean for shift in shifts],
        blind=results.regions[region].blind,
        shape=shape,
    )


def agreement_figure(options, region, found):
    """The Figure of the Agreements of a region."""
    tested = [one for one in found if one.tested]
    return draw_agreement(
        [one.p for one in tested],
        [options.results.features[one.feature].label for one in tested],
        [one.verdict for one in tested],
        [f"{one.chi2:.0f}/{one.ndof}" for one in tested],
        least=2 * LEAST,
        title=region,
        caption=options.caption,
    )
