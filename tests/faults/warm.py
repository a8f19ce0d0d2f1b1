"""Imported by a Program that runs the analysis: one event loop, so that its runs take little time.

ROOT loads and compiles what it needs when that is first called; forks find it there.
"""

import tempfile

from analysis import declarations, features, samples, selection
from analysis.guard import event_loop
from analysis.job import Job
from analysis.prepare import prepare
from analysis.products import Output
from analysis.run import Maker

listed = samples.read_samples(samples.DEMO)
declared = declarations.declarations([selection.DEFAULT_REGION], features.DEFAULT_LAYOUT)
job = Job(listed, declared, threads=1).only("Ztt")
(item,), row = prepare(job)
with tempfile.TemporaryDirectory() as folder, Output(folder) as output:
    maker = Maker(job, row, output)
    maker.make(item, event_loop(item, maker.layout, output.partial))
