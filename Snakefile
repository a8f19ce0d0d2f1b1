"""The whole chain as rules, the same steps as `python run_rdf.py --all`: docs/workflow.md.

snakemake -c2 --config samples=my.toml output=OUT

Other choices: fast=true, detectors="tail isolation", options="-r SR_search CR_WZ" as for run_rdf.py,
threads=4, image=docker://... where rules run in a container.
"""

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))

import run_rdf
from analysis.everything import program_digest
from analysis.steps import steps_of

words = ["--threads", config.get("threads", 2), *shlex.split(config.get("options", ""))]
words += ["--samples", config["samples"]] if config.get("samples") else []
words += ["--fast"] if config.get("fast") else []
words += ["--detector", *config["detectors"].split()] if config.get("detectors") else []
CHOSEN, NTUPLES = run_rdf.choices(*words, "-o", config.get("output", "output"))
OUT, STEPS = CHOSEN.output, steps_of(CHOSEN)


def below(path):
    """A file of the output folder; a name that ends with / is a folder."""
    return directory(f"{OUT}/{path[:-1]}") if path.endswith("/") else f"{OUT}/{path}"


rule all:
    input:
        [f"{OUT}/{path}".rstrip("/") for path in STEPS[-1].makes],


for step in STEPS:

    rule:
        name:
            step.name.replace(" ", "_")
        input:
            made=[f"{OUT}/{path}".rstrip("/") for path in step.reads],
            ntuples=NTUPLES if not step.reads else [],
        output:
            [below(path) for path in step.makes],
        params:
            command=shlex.join(step.command),
            program=program_digest(step),  # another one is a reason to run it again
        threads: CHOSEN.threads if step.many_cores else 1
        container:
            config.get("image")
        shell:
            "{params.command}"
