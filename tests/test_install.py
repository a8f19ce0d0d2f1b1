"""The ways to install beside setup.sh: the container recipe, and the environment of conda."""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch

import pytest
from conftest import REPOSITORY, SAFETY_NET

RECIPE = REPOSITORY / "Containerfile"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

# --- the container ----------------------------------------------------------------------------


def instructions():
    """(instruction, its words as one text) of the recipe, in order."""
    text = re.sub(r"^#.*\n", "", RECIPE.read_text(), flags=re.M).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        yield word, " ".join(rest.split())


def copied():
    """The files and folders of the checkout that go into the image."""
    return [name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]]


def test_recipe_copies_all_that_is_installed_and_nothing_that_is_not_there():
    names = copied()
    assert [name for name in names if not (REPOSITORY / name).exists()] == []
    installed = PROJECT["tool"]["setuptools"]
    modules = [f"{name}.py" for name in installed["py-modules"]]
    packages = [name for name in installed["packages"] if "." not in name]
    needed = {*modules, *packages, *PROJECT["project"]["license-files"], "pyproject.toml"}
    assert needed | {"CMakeLists.txt"} == set(names)


def test_nothing_that_is_copied_is_ignored():
    patterns = (REPOSITORY / ".containerignore").read_text().split()
    patterns = [pattern.removeprefix("**/") for pattern in patterns]
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    for path in tracked.stdout.split():
        assert not [p for p in patterns if any(fnmatch(part, p) for part in path.split("/"))], path


def test_recipe_names_what_it_installs_and_who_it_is():
    found = {}
    for word, rest in instructions():
        found[word] = f"{found.get(word, '')} {rest}".strip()
    assert found["FROM"] == "${BASE}"
    # A short name: which registry it comes from is a matter of the site.
    (base,) = re.findall(r"^BASE=(\S+)$", found["ARG"])
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    label = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', found["LABEL"]))
    project = PROJECT["project"]
    assert (label["title"], label["version"]) == (project["name"], project["version"])
    assert label["licenses"] == project["license"]
    (extras,) = re.findall(r"source\[([\w,]+)\]", found["RUN"])
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert "apt-get install -y --no-install-recommends cmake g++" in found["RUN"]
    assert found["ENTRYPOINT"] == '["m3l"]'
    assert "USER" not in found  # any user can run it


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint")
    if not hadolint:
        pytest.skip("there is no hadolint")
    done = subprocess.run([hadolint, "--no-color", RECIPE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


# Words for `buildah bud`, where packages come by a mirror: -v FILE:FILE, --build-arg BASE=IMAGE.
OPTIONS = "M3L_BUILD_OPTIONS"


@pytest.fixture(scope="module")
def image():
    """The image, built; skips where it cannot be."""
    builder = next(filter(shutil.which, ("buildah", "podman")), None)
    if not builder:
        pytest.skip("there is neither buildah nor podman")
    options = shlex.split(os.environ.get(OPTIONS, ""))
    base = dict(instructions())["ARG"].removeprefix("BASE=")
    if not any(option.startswith("BASE=") for option in options):
        pull = subprocess.run([builder, "pull", "-q", base], capture_output=True, text=True)
        if pull.returncode:
            pytest.skip(f"{base} cannot be fetched")
    words = [builder, *(["bud"] if builder == "buildah" else ["build"]), *options]
    done = subprocess.run([*words, "-t", "m3l-test", REPOSITORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return builder


@pytest.mark.slow
def test_image_runs_the_demo_as_any_user(image, tmp_path):
    """What it needs is compiled, and nothing is written into it."""
    tmp_path.chmod(0o777)
    words = ("run", "-n", "500", "-s", "WZ", "data", "-o", "output")
    who = ("--user", "12345:12345", "-v", f"{tmp_path}:/work")
    if image == "podman":
        command = ["podman", "run", "--rm", "--read-only", *who, "m3l-test", *words]
    else:
        made = subprocess.run(["buildah", "from", "m3l-test"], capture_output=True, text=True)
        container = made.stdout.strip()
        command = ["buildah", "run", *who, "--env", "HOME=/", container, "--", "m3l", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SAFETY_NET)
    finally:
        if image == "buildah":
            subprocess.run(["buildah", "rm", container], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "interpreted" not in done.stderr
    assert (tmp_path / "output" / "run.json").exists()


# --- conda ------------------------------------------------------------------------------------

# What conda-forge calls the packages whose names differ there.
CONDA = {
    "tables": "pytables",
    "blosc2": "python-blosc2",
    "matplotlib": "matplotlib-base",
    "hepdata_lib": "hepdata-lib",
}
IN_CONDA = ("ml", "stats")  # extras; `root` is a package of its own there


def name_and_version(requirement):
    """("pyhf", ">=0.7.6") of "pyhf[minuit]>=0.7.6"; versions of pip and conda look the same."""
    return re.fullmatch(r"([\w-]+)(?:\[\w+\])?(.*)", requirement.replace(" ", "")).groups()


@pytest.fixture(scope="module")
def environment():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((REPOSITORY / "environment.yml").read_text())


def test_conda_environment_has_what_pip_would_install(environment):
    project = PROJECT["project"]
    extras = [project["optional-dependencies"][name] for name in IN_CONDA]
    wanted = dict(map(name_and_version, sum(extras, project["dependencies"])))
    listed = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (by_pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    found = dict(map(name_and_version, listed))
    beside = {"python": project["requires-python"], "pip": "", "cxx-compiler": "", "root": ""}
    assert beside.items() <= found.items()
    of_pip = dict(map(name_and_version, by_pip))
    assert of_pip.items() <= wanted.items()
    conda = {CONDA.get(name, name): v for name, v in wanted.items() if name not in of_pip}
    assert {name: v for name, v in found.items() if name not in beside} == conda


def test_pip_brings_no_second_root_into_it(environment):
    """Neither as a dependency of the program, nor in the file."""
    names = [name_and_version(line)[0].lower() for line in PROJECT["project"]["dependencies"]]
    assert "root" not in names
    assert "nodefaults" in environment["channels"]
