"""From pieces that are skims to one skim: their files together, and a samples file."""

import json
import shutil

import ROOT

import helpers
from analysis import skims
from analysis.batch import merge
from analysis.errors import OutputError
from analysis.files import parse_json
from analysis.inputs import constant, total
from analysis.job import job_of
from analysis.products import Output
from analysis.records import latest_format
from analysis.samples import Normalisation
from analysis.skimmed import both


def collect(submission, states):
    """Collect the skims of a submission in its output folder; returns {sample: SampleSkim}.

    states: of all pieces
    Raises InputError as merge.merge does, and OutputError; nothing is written then.
    """
    helpers.load_engine()
    merge.refuse_gaps(submission, states)
    with Output(submission.folder) as output:
        manifests = {piece.name: submission.manifest(piece.name) for piece in submission.pieces}
        run = latest_format(submission.run, submission.jobs / "submission.json")
        job = job_of(run, submission.jobs / "submission.json")
        merge.check(submission, run, job, manifests)
        made, blocks = {}, []
        for sample, record in zip(job.samples.samples, run["samples"], strict=True):
            parts = [m for m in manifests.values() if m["piece"]["sample"] == sample.name]
            files = [
                (submission.results / part["piece"]["name"], skims.SkimFile(**file))
                for part in parts
                for file in part["skim"]
            ]
            for folder, file in files:
                shutil.copyfile(folder / file.name, output.partial / file.name)
            if record.get("rejected"):
                add_rejected(output.partial / files[0][1].name, record["rejected"])
            found = tuple(file for _, file in files)
            read = sum(part["entries_read"] for part in parts)
            dropped = sum(part["dropped_events"] for part in parts)
            made[sample.name] = skims.SampleSkim(found, read, {}, {}, dropped, ())
            norm = record["normalisation"] and Normalisation(**record["normalisation"])
            sumw = total([file["sum_of_weights"] for file in record["inputs"]])
            xsec = constant([file.get("cross_section") for file in record["inputs"]])
            blocks.append(skims.sample_block(sample, norm, sumw, xsec, found))
        text = skims.skim_text(job.samples, blocks, run["command"])
        skims.publish(output, made, text, job.samples)
    return made


def add_rejected(path, rejected):
    """Let a file of a skim count events as well that its input, a skim, had left out before."""
    record = parse_json(str(ROOT.m3l.inspectDataset(str(path), "").skim))
    mine = record["rejected"]
    record["rejected"] = {
        "cutflow": both(1, mine["cutflow"], rejected["cutflow"]),
        "variations": {
            name: {"cutflow": both(1, of["cutflow"], rejected["variations"][name]["cutflow"])}
            for name, of in mine["variations"].items()
        },
    }
    problem = str(ROOT.m3l.noteSkim(str(path), json.dumps(record)))
    if problem:
        raise OutputError(f"{path.name}: {problem}")
