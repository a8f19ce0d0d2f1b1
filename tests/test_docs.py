"""README and docs: commands and examples work, in the order in which they are printed."""

import importlib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import explained_inputs
import ml_tables
import ntuples
import pandas as pd
import pytest
import result_inputs
import score_inputs
import uproot
from conftest import DEMO, REPOSITORY, SAFETY_NET, read_json, read_table, root_program, slow

from analysis.output import DEFAULT_DETECTOR

README = REPOSITORY / "README.md"
PAGES = (README, *sorted((REPOSITORY / "docs").glob("*.md")))
TEXTS = (*PAGES, REPOSITORY / "CHANGELOG.md", DEMO / "README.md")

# How the commands of indented blocks are tested, by the first pattern that matches.
RULES = (
    (r"python (-i )?run_rdf\.py .*--dask (slurm|condor)", "parsed"),
    (r"python -m analysis\.submit (slurm|condor|grid|status \$OUT)", "parsed"),
    (r"python -m analysis\.opendata ", "parsed"),  # run in tests/test_opendata.py
    (r"jupyter ", "tests/test_opendata_notebook.py"),
    (r"python -m tests\.benchmarks", "benchmark"),
    (r"python -m analysis\.stats (abcd|overlap|publish) ", "run"),
    (r"python -m (ml|plotting) ", "slow"),
    (r"python -m analysis\.stats (bump|anything) ", "slow"),
    (r"python -m analysis\.stats ", "parsed"),  # run in tests/test_stats_main.py
    (r"python run_rdf\.py .*--(model|all|dask|vary|plain) ?", "slow"),
    (r"snakemake ", "tests/test_workflow.py"),
    (r"python (-i )?run_rdf\.py", "run"),
    (r"python -m analysis\.submit (local|status) ", "run"),
    (r"cmp ", "slow"),
    (r"root -l ", "root"),
    (r"pip install (-e )?'\.\[", "extras"),
    (r"m3l ", "parsed"),
    (r"(pip install \.$|conda |podman |apptainer )", "tests/test_install.py"),
    (r"source setup\.sh$", "tests/test_setup.py"),
    (r"pytest -n 2$", "tests/test_docs.py"),
    (r"(cmake|ctest) ", "tests/test_build.py"),
    (r"(source /cvmfs/|export |lsetup |voms-proxy-init )", "another site"),
)

LANGUAGES = ("python", "toml", "yaml", "text")  # of fenced blocks

# Options of other programs.
FOREIGN = {
    "--slow",
    "--byls",
    "--nthreads",
    "--nworkers",
    "--partition",
    "--config",
    "--user",
    "--build-arg",
}


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: Path
    language: str  # "shell" for indented ones
    text: str


BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$|((?:^    .*\n)+)", re.M)


def blocks(page):
    """The blocks of a page, in order."""
    for found in BLOCK.finditer(page.read_text()):
        fence, inside, indented = found.groups()
        yield Block(page, "shell", indented) if indented else Block(page, fence, inside)


def prose(page):
    """A page without its blocks."""
    return BLOCK.sub("", page.read_text())


def inline_code(page):
    """What a page has in backticks, line breaks as spaces."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def commands(language_blocks):
    """The commands of shell blocks, in order, each once."""
    lines = [line for block in language_blocks for line in block.text.splitlines()]
    parts = [p.split("  #")[0].strip() for line in lines for p in line.split(" && ")]
    return list(dict.fromkeys(part for part in parts if part))


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = commands(block for block in BLOCKS if block.language == "shell")

# Lines that some commands print.
PRINTS = {
    "--list": ["region SR3L"],
    "submit local": ["events of 2 samples"],
    "submit status": ["merged: output_jobs is complete"],
    "run_rdf.py --event WZ:12": [
        line
        for block in BLOCKS
        if block.page.name == "debugging.md" and block.language == "text"
        for line in block.text.splitlines()
    ],
}


def rule_of(command):
    """How a command is tested, None if nobody has said so."""
    return next((how for pattern, how in RULES if re.match(pattern, command)), None)


def with_rule(rule):
    """Commands that are tested this way, as parameters of a test."""
    return [pytest.param(c, id=c[:70]) for c in COMMANDS if rule_of(c) == rule]


# Python blocks are tested by the first of these words that is in them.
PROMPT, HELPERS, ML, NOTEBOOK = "dataframes[", "import helpers", "from ml.", "import m3l"
ONNX = "import onnxruntime"  # tests/test_ml_export.py
SYSTEMATICS = "from analysis.systematics"
PICTURES = "from plotting.notebook"
KINDS = (HELPERS, ML, NOTEBOOK, PICTURES, ONNX, SYSTEMATICS, "import pandas", PROMPT)


def kind_of(block):
    """The word that says how a Python block is tested, None if there is none."""
    return next((word for word in KINDS if word in block.text), None)


def python_blocks(word, *slow_pages):
    """Python blocks that are tested as this word says, with a name for each."""
    found = [b for b in BLOCKS if b.language == "python" and kind_of(b) == word]
    return [
        (slow if b.page.name in slow_pages else pytest.param)(b, id=f"{b.page.name}-{n}")
        for n, b in enumerate(found)
    ]


# --- what is tested at all --------------------------------------------------------------------


def test_every_command_has_a_rule():
    assert [command for command in COMMANDS if rule_of(command) is None] == []
    assert {how for _, how in RULES} == {rule_of(command) for command in COMMANDS}
    for _, how in RULES:
        assert not how.startswith("tests/") or (REPOSITORY / how).exists()


def test_every_block_has_a_known_language():
    assert {block.language for block in BLOCKS} <= {"shell", *LANGUAGES}


def test_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def test_readme_lists_every_page():
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in README.read_text()


# --- commands ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like the checkout, so that outputs do not land in the real one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("m3l.py", "run_rdf.py", "analysis", "helpers", "ml", "plotting"):
        (folder / name).symlink_to(REPOSITORY / name)
    shutil.copy(DEMO / "samples.toml", folder / "my.toml")
    for path in DEMO.glob("*.root"):
        (folder / path.name).symlink_to(path)
    (folder / "ntuples").mkdir()
    ntuples.write(
        folder / "ntuples" / "WZ_merged_processed.root", [ntuples.three_leptons()], tree="WZ_NoSys"
    )
    return folder


def run(command, folder, prompt=""):
    """Run a command; returns what it prints.

    prompt: what is typed at the prompt of `python -i`
    """
    words = shlex.split(command)
    if words[0] == "python":
        words[0] = sys.executable
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=SAFETY_NET, input=prompt
    )
    said = f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    # At the end of a prompt, nobody knows what went wrong before.
    assert done.returncode == 0 and "Traceback" not in done.stderr, said
    return done.stdout


def prepare(command, folder):
    """Make what a command reads, for a test that runs alone."""
    if re.search(r"(?<!-o )\boutput\b", command) and not (folder / "output").exists():
        run("python run_rdf.py", folder)
    model = re.search(
        r"(ml (score|encode|freeze|study|explain|protocol)|plotting score) output|models/small"
        r"|stats (bump|anything) output",
        command,
    )
    if model and not (folder / "output" / "models" / "small").exists():
        run("python -m ml train output", folder)
    learned = folder / "output" / "models" / DEFAULT_DETECTOR
    if re.search("ml challenge output|models/portfolio", command) and not learned.exists():
        run(f"python -m ml train output --detector {DEFAULT_DETECTOR}", folder)
    if "blind --open" in command and not (folder / "output" / "study" / "blind.json").exists():
        run("python -m ml challenge output blind", folder)
    if "stats overlap" in command and not (folder / "output_regions").exists():
        run("python run_rdf.py -o output_regions -s WZ data -r CR_WZ SR_search", folder)
    if re.search("plotting (stats|limit) output", command):
        result_inputs.write_statistics(folder / "output")
    if "output_parquet/" in command and not (folder / "output_parquet").exists():
        run("python run_rdf.py -o output_parquet -s WZ ttZ --format hdf5 parquet", folder)
    if "skim_demo/" in command and not (folder / "skim_demo").exists():
        run("python run_rdf.py --skim skim_demo", folder)
    if command.startswith("cmp ") and not (folder / "output_plain").exists():
        run("python run_rdf.py -o output_plain -s WZ --plain", folder)
    if (
        re.search("plotting score|ml (study|explain|protocol)|stats (bump|anything)", command)
        and not (folder / "output" / "scores").exists()
    ):
        run("python -m ml score output", folder)


def check(command, folder):
    """Run a command as a reader would."""
    if "--dask" in command and importlib.util.find_spec("distributed") is None:
        pytest.skip("there is no distributed")
    command = re.sub(r"/eos/\S+", "output_eos", command)
    prepare(command, folder)
    printed = run(command, folder)
    for part, lines in PRINTS.items():
        assert part not in command or [line for line in lines if line not in printed] == []
    written = re.search(r"run_rdf\.py .*-o (\S+)", command)
    if written and not re.search(r"--(check|list|chain|event)\b", command):
        assert (folder / written[1] / "run.json").exists()


@pytest.mark.parametrize("command", with_rule("run"))
def test_command(command, checkout):
    check(command, checkout)


@pytest.mark.slow
@pytest.mark.parametrize("command", with_rule("slow"))
def test_slow_command(command, checkout):
    check(command, checkout)


@pytest.mark.slow
@pytest.mark.parametrize("command", with_rule("benchmark"))
def test_benchmark(command):
    """With fewer events, in one round."""
    run(f"{command} --events 20000 --repeat 1", REPOSITORY)


def parse(command):
    """Let the command line of a program of ours read a command, without running it."""
    import run_rdf
    from analysis import opendata, submit
    from analysis.stats.__main__ import parser as stats_parser
    from ml.__main__ import parser as ml_parser
    from plotting.__main__ import parser as plotting_parser
    from tests.benchmarks.__main__ import parser as benchmarks_parser

    parsers = {
        "run_rdf.py": run_rdf.parser,
        "analysis.opendata": opendata.parser,
        "analysis.submit": submit.parser,
        "analysis.stats": stats_parser,
        "ml": ml_parser,
        "plotting": plotting_parser,
        "tests.benchmarks": benchmarks_parser,
    }
    if command is None:
        return [make() for make in parsers.values()]
    words = shlex.split(command)
    if words[0] == "m3l":
        return parse_console(words[1:])
    program, *rest = [word for word in words[1:] if word not in ("-i", "-m")]
    return parsers[program]().parse_args(rest)


def parse_console(words):
    """The same of the command m3l."""
    import m3l

    if words != ["--help"]:
        program, rest = m3l.find(words)
        importlib.import_module(program.module).parser().parse_args(rest)


@pytest.mark.parametrize("command", with_rule("parsed"))
def test_command_is_understood(command):
    parse(command)


def test_commands_in_the_text_are_understood():
    """Those that only name the program are not."""
    for page in PAGES:
        for code in inline_code(page):
            if (
                re.match(r"python (-i )?run_rdf\.py|python -m [\w.]+ \w", code)
                and "..." not in code
            ):
                parse(code)


def options_of(parser):
    """All options of a parser and of its commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                if hasattr(command, "_actions"):
                    yield from options_of(command)


def test_options_in_the_text_exist():
    known = {option for parser in parse(None) for option in options_of(parser)} | FOREIGN
    for page in PAGES:
        named = re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(inline_code(page)))
        assert set(named) <= known, page.name


def test_extras_exist():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    texts = " ".join(page.read_text() for page in PAGES)
    named = re.findall(r"pip install (?:-e )?'\.\[([\w,]+)\]'", texts)
    assert len(named) >= len(with_rule("extras"))
    for names in named:
        assert set(names.split(",")) <= set(extras["optional-dependencies"])


@pytest.mark.slow
@pytest.mark.parametrize("command", with_rule("root"))
def test_root_prompt(command, tmp_path):
    ignore = shutil.ignore_patterns("__pycache__")  # a copy, since ACLiC writes beside the sources
    shutil.copytree(REPOSITORY / "helpers", tmp_path / "helpers", ignore=ignore)
    done = subprocess.run(
        [root_program(), *shlex.split(command)[1:], "-b", "-q", "-e", "flavourComp3L({1, 2, 2})"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert "(int) 2" in done.stdout, done.stderr


# --- examples ---------------------------------------------------------------------------------


def test_every_python_example_is_run():
    for block in BLOCKS:
        assert block.language != "python" or kind_of(block) in KINDS, block


@pytest.mark.parametrize("block", python_blocks(PROMPT, "clusters.md"))
def test_prompt(block, checkout):
    command = "python -i run_rdf.py --check -j 1"
    if block.page.name == "clusters.md":
        if importlib.util.find_spec("distributed") is None:
            pytest.skip("there is no distributed")
        command = "python -i run_rdf.py -s WZ -o output_prompt --dask local:1"
    run(command, checkout, block.text)


@pytest.mark.parametrize("block", python_blocks(NOTEBOOK, "systematics.md", "debugging.md"))
def test_notebook(block, checkout):
    code = f'{block.text}print(dataframes["WZ"]["SR3L"].Count().GetValue())'
    printed = run(shlex.join(("python", "-W", "ignore", "-c", code)), checkout)
    assert int(printed.split()[-1]) > 1000


@pytest.mark.parametrize("block", python_blocks("import pandas") + python_blocks(PICTURES))
def test_reading_the_output(block, checkout):
    prepare(block.text, checkout)
    run(shlex.join(("python", "-W", "error", "-c", block.text)), checkout)


@pytest.mark.slow
@pytest.mark.parametrize("block", python_blocks(ML))
def test_machine_learning(block, checkout):
    prepare(block.text, checkout)
    run(shlex.join(("python", "-c", block.text)), checkout)


@pytest.mark.parametrize("block", python_blocks(SYSTEMATICS))
def test_systematics(block):
    """What is declared there is good."""
    from dataclasses import replace

    from analysis.declarations import declarations

    names = {}
    exec(block.text, names)
    declared = replace(declarations(["SR3L"], "T3N5"), systematics=names["SYSTEMATICS"])
    assert not [*declared.problems()]
    assert len(names["SYSTEMATICS"]) > 3


@pytest.mark.parametrize("block", python_blocks(HELPERS))
def test_helpers(block, ROOT):
    df = ROOT.RDataFrame("nominal", str(DEMO / "WZ.root"))
    df = df.Define("ele_SG", "lepFlavor == 1 && lepTight").Define("muo_SG", "lepFlavor == 2")
    names = {"df": df}
    exec(block.text, names)
    assert -1 <= names["df"].Max("flcomp").GetValue() <= 5


def test_samples_file_has_all_keys():
    from analysis.samples import SAMPLE, sample_from

    (example,) = [block.text for block in BLOCKS if block.language == "toml"]
    (sample,) = tomllib.loads(example)["sample"]
    assert set(sample) == set(SAMPLE.known)
    sample["files"] = [str(DEMO / "WZ.root")]
    problems = []
    assert sample_from(sample, 1, README, problems) and not problems


def test_yaml_is_valid():
    yaml = pytest.importorskip("yaml")
    for block in BLOCKS:
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


# --- names and links --------------------------------------------------------------------------


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_are_named_exist(page):
    for code in inline_code(page):
        inside = re.fullmatch(r"(analysis|docs|helpers|ml|plotting|tests)/[\w/.-]+", code)
        if inside or re.fullmatch(r"\w+\.(py|sh)", code) and page in PAGES:
            assert (REPOSITORY / code).exists(), code


def anchors(page):
    """The anchors of a page's headings."""
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.M):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_pictures_are_small():
    for path in (REPOSITORY / "docs" / "images").iterdir():
        assert path.stat().st_size < 80_000


def test_versions_agree():
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (REPOSITORY / "CITATION.cff").read_text()
    released = re.findall(r"^## \[?(\d[\d.]*)", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    assert released[0] == version


# --- formats.md -------------------------------------------------------------------------------


def section(title):
    """The rows of the tables in a section of formats.md: (names in the first cell, other cells)."""
    text = (REPOSITORY / "docs" / "formats.md").read_text()
    (part,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    for line in part.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].startswith("`"):
            yield re.findall(r"`([^`]+)`", cells[0]), cells[1:]


def fields(value, regions, path=""):
    """Yield (path, value) of everything in a run.json."""
    if isinstance(value, dict):
        for name, inside in value.items():
            name = "REGION" if name in regions else name
            yield from fields(inside, regions, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inside in value:
            yield from fields(inside, regions, f"{path}[]")
    else:
        yield path, value


def is_list_of(kind):
    return lambda value: isinstance(value, list) and all(isinstance(v, kind) for v in value)


TYPES = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "strings": is_list_of(str),
    "integers": is_list_of(int),
    "numbers": is_list_of(int | float),
    "null": lambda value: value is None,
}


def test_fields_of_run_json(demo_output, finished):
    """They are those of a real run and of one that was merged, with the types that are written."""
    documented = {name: cells[0] for names, cells in section("`run.json`") for name in names}
    found = {}
    for folder in (demo_output, finished):
        for path, value in fields(read_json(folder / "run.json"), ("SR3L",)):
            found.setdefault(path, []).append(value)
    inner = {path for path in found if any(p.startswith(f"{path}.") for p in found)}  # where null
    occasional = (
        *("timings_s.cluster", "failed.", "repeated_data_events.", "samples[].skipped[]"),
        *("samples[].variations.", "systematics[]", "good_runs.", "parquet."),
    )
    often = {name for name in documented if not name.startswith(occasional)}
    assert set(found) - inner - {"samples[].skipped", "systematics", "good_runs"} == often
    for path, kind in documented.items():
        for value in found.get(path, ()):
            assert value is None or TYPES[kind](value), (path, value)


def test_columns_of_mini(demo_output):
    """Each column of a table is documented once, with its type and unit, and no other."""
    record = read_json(demo_output / "run.json")
    units = {feature["name"]: feature["unit"] for feature in record["features"]}
    kinds = record["layout"]["types"]
    objects = [f"{kind['name']}_{n}" for kind in kinds for n in range(kind["multiplicity"])]
    ranks = {
        "<object>": objects,
        "<first>": [name for name in objects if name.endswith("_0")],
        "<other>": [name for name in objects if not name.endswith("_0")],
        "<rank>": [str(rank) for rank in range(10)],
    }
    documented = {}
    for names, (kind, unit, _) in section("The table `mini`"):
        for name in names:
            pattern = re.sub(r"<\w+>", lambda found: f"({'|'.join(ranks[found[0]])})", name)
            documented[name] = pattern, kind, unit
    table = read_table(demo_output, "WZ")
    seen = []
    for column, dtype in table.dtypes.items():
        (name,) = [n for n, (pattern, *_) in documented.items() if re.fullmatch(pattern, column)]
        assert documented[name][1:] == (str(dtype), units.get(column, "")), column
        seen.append(name)
    assert set(seen) == set(documented)
    plain = [name for name in documented if "<" not in name]
    assert [column for column in table if column in plain] == plain


def placed(value, places):
    """The fields of a JSON value, with placeholders for the keys at some places.

    places: {path: placeholder of the keys there}
    """

    def named(value, path):
        if isinstance(value, list):
            return [named(inside, f"{path}[]") for inside in value]
        if not isinstance(value, dict):
            return value
        found = {}
        for name, inside in value.items():
            name = places.get(path, name)
            inside = named(inside, f"{path}.{name}" if path else name)
            found[name] = {**found.get(name, {}), **inside} if isinstance(inside, dict) else inside
        return found

    return dict(fields(named(value, ""), ()))


STUDY_PLACES = {
    "study.json": {
        "signals": "SIGNAL",
        "best_rival": "SIGNAL",
        "against_best_rival": "SCORE",
        "against_best_rival.SCORE.signals": "SIGNAL",
        "scores": "SCORE",
        "scores.SCORE.signals": "SIGNAL",
    },
    "frozen.json": {"tables": "NAME", "detectors": "NAME", "detectors.NAME.files": "FILE"},
    "explained.json": {"background": "DETECTOR", "events[].scores": "DETECTOR"},
    "protocol.json": {"scores": "SCORE", "scores.SCORE.injections": "SIGNAL"},
}


def test_fields_of_studies(tmp_path):
    from ml.__main__ import main

    folder = score_inputs.write_scored(tmp_path / "out")
    (folder / "models" / "good").mkdir(parents=True)
    (folder / "models" / "good" / "trees.txt").write_text("")
    main(["freeze", str(folder)])
    main(["study", str(folder), "--replicas", "2", "--no-supervised"])
    main(["protocol", str(folder), "--experiments", "2"])
    explainable = explained_inputs.write_explainable(tmp_path / "explainable")
    main(["explain", str(explainable)])
    shutil.copy(explainable / "study" / "explained.json", folder / "study")
    text = (REPOSITORY / "docs" / "formats.md").read_text()
    parts = re.split(r"^`study/(\w+\.json)`", text, flags=re.M)[1:]
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        rows = re.findall(r"^\| (`.*`) \| (\w+) \|", part.split("\n## ")[0], re.M)
        documented = {path: kind for names, kind in rows for path in re.findall("`(.*?)`", names)}
        found = placed(read_json(folder / "study" / name), STUDY_PLACES[name])
        occasional = {path for path in documented if path.startswith("seeds.")}
        empty = {path for path, value in found.items() if value == [] and path not in documented}
        assert set(found) - empty == set(documented) - occasional
        for path in set(found) - empty:
            value = found[path]
            assert value is None or TYPES[documented[path]](value), (path, value)


# Keras 3.15 with numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_fields_of_challenges(tmp_path):
    from ml.__main__ import main

    folder = ml_tables.write_output(tmp_path / "out")
    quick = ("--epochs", "1", "--batch", "16", "--quiet")
    main(["train", str(folder), "--detector", "small", *quick])
    options = ("--detector", "small", "--replicas", "2", "--events", "500")
    main(["challenge", str(folder), "shuffle", *options])
    main(["challenge", str(folder), "blind", *options])
    text = (REPOSITORY / "docs" / "formats.md").read_text().split("## Altered events")[1]
    text = text.split("\n## ")[0]
    parts = re.split(r"^In `study/(.*)\.json`", text, flags=re.M)[1:]
    names = {"<study>": "shuffle", "blind": "blind", "blind_answer": "blind_answer"}
    places = {"scores[].altered": "NAME", "passed": "SCORE"}
    assert list(names) == parts[::2]
    for name, part in zip(names.values(), parts[1::2], strict=True):
        rows = re.findall(r"^\| (`.*`) \| (\w+) \|", part, re.M)
        documented = {path: kind for names, kind in rows for path in re.findall("`(.*?)`", names)}
        found = placed(read_json(folder / "study" / f"{name}.json"), places)
        occasional = {f"settings.{what}" for what in ("factors", "leptons", "share")}
        assert set(found) == set(documented) - occasional
        for path, value in found.items():
            assert value is None or TYPES[documented[path]](value), (path, value)


def test_fields_and_kinds_of_detectors():
    from analysis.detector_scores import KINDS
    from analysis.records import DETECTOR

    assert [n for names, _ in section("`detector.json`") for n in names] == [*DETECTOR.known]
    assert {n for names, _ in section("`numbers.npz`") for n in names} == {*KINDS}


def test_rows_of_cutflow_json(demo_output):
    documented = {names[0]: cells[0] for names, cells in section("`cutflow.json`")}
    rows = read_json(demo_output / "cutflow.json")["SR3L"]["WZ"]
    assert rows[0]["cut"] == "all"
    for row in rows:
        assert list(row) == list(documented)
        for name, value in row.items():
            assert TYPES[documented[name]](value)


def test_histograms(demo_output):
    record = read_json(demo_output / "run.json")
    drawn = [feature["name"] for feature in record["features"] if feature["binning"]]
    expected = {f"h_{name}_{s['name']}" for name in drawn for s in record["samples"]}
    with uproot.open(demo_output / "histograms.root") as file:
        assert set(file["SR3L"].keys(cycle=False)) == expected


@pytest.mark.slow
def test_columns_of_scores(checkout):
    prepare("python -m plotting score output", checkout)
    documented = [(name, cells[0]) for names, cells in section("Scores") for name in names]
    path = checkout / "output" / "scores" / "small" / "WZ.hdf5"
    assert [(name, str(kind)) for name, kind in pd.read_hdf(path).dtypes.items()] == documented
    with pd.HDFStore(path, "r") as store:
        assert json.loads(store.get_storer("scores").attrs.m3l)["sample"] == "WZ"
