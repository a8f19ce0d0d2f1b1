"""setup.sh in bash and zsh: it works twice and from anywhere, and a failure leaves the shell."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from conftest import REPOSITORY, SAFETY_NET

SETUP = REPOSITORY / "setup.sh"


@pytest.fixture(params=["bash", "zsh"])
def shell(request):
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param}")
    return [request.param, *(["-f"] if request.param == "zsh" else ["--norc"])]


def run_in(shell, text, folder, **environment):
    inherited = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "M3L_VENV")}
    return subprocess.run(
        [*shell, "-c", text],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )


def tools_without_python(folder):
    """A folder with the programs of PATH, but no Python."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in os.listdir(place) if os.path.isdir(place) else ():
            if not program.startswith(("python", "pip")) and not (folder / program).is_symlink():
                (folder / program).symlink_to(os.path.join(place, program))
    return folder


AFTER = f'source "{SETUP}"; echo "status $?"; type _m3l_setup >/dev/null 2>&1 || echo gone'


def test_script_parses(shell):
    done = subprocess.run([shell[0], "-n", str(SETUP)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_missing_python_leaves_the_shell_with_a_message(shell, tmp_path):
    tools = tools_without_python(tmp_path / "bin")
    done = run_in(shell, AFTER, tmp_path, PATH=str(tools))
    assert done.stdout.splitlines() == ["status 1", "gone"]
    assert done.stderr.splitlines() == ["m3l: python3 is missing; install Python 3.11 or newer"]


def test_old_python_leaves_the_shell_with_a_message(shell, tmp_path):
    tools = tools_without_python(tmp_path / "bin")
    fake = tools / "python3"
    fake.write_text('#!/bin/sh\ncase "$1" in --version) echo Python 3.8.2;; *) exit 1;; esac\n')
    fake.chmod(0o755)
    done = run_in(shell, AFTER, tmp_path, PATH=str(tools))
    assert done.stdout.splitlines() == ["status 1", "gone"]
    assert done.stderr.splitlines() == [
        "m3l: Python 3.8.2 is too old; Python 3.11 or newer is needed"
    ]


def with_this_python(tmp_path):
    tools = tools_without_python(tmp_path / "bin")
    (tools / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python3").chmod(0o755)
    return str(tools)


def test_environment_that_cannot_be_made_leaves_the_shell_with_a_message(shell, tmp_path):
    (tmp_path / "file").write_text("")
    venv = str(tmp_path / "file" / "venv")
    done = run_in(shell, AFTER, tmp_path, PATH=with_this_python(tmp_path), M3L_VENV=venv)
    assert done.stdout.splitlines()[-2:] == ["status 1", "gone"]
    assert f"m3l: the virtual environment {venv} cannot be made, see above" in done.stderr


# Makes environments of nothing and writes down what it was asked for; {pip} is what pip does.
FAKE_PYTHON = """#!/bin/sh
echo "$@" >>"{log}"
case "$*" in
*--version*) echo Python {version} ;;
*fcntl*) exec "{python}" "$@" ;;
*sysconfig*) echo "{venv}" ;;
*"print(\\"the ROOT in"*) {root} ;;
*"-m venv"*)
    for venv; do :; done
    mkdir -p "$venv/bin"
    cp "$0" "$venv/bin/python"
    echo 'export VIRTUAL_ENV="{venv}"; PATH="$VIRTUAL_ENV/bin:$PATH"' >"$venv/bin/activate" ;;
*"-m pip"*) {pip} ;;
esac
"""


class Checkout:
    """A checkout with only what setup.sh reads, its environment and a Python that is none."""

    def __init__(self, folder, venv=None):
        self.folder, self.venv = folder, venv or folder / "a venv"
        folder.mkdir()
        for name in ("setup.sh", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, folder)
        self.tools = tools_without_python(folder / "bin")
        self.log = folder / "log"
        self.python()
        self.source = AFTER.replace(str(SETUP), str(folder / "setup.sh"))

    def python(self, **changed):
        """Make its Python."""
        text = FAKE_PYTHON.format(
            **{"version": "3.11.2", "pip": ":", "root": ":"} | changed,
            log=self.log,
            venv=self.venv,
            python=sys.executable,
        )
        (self.tools / "new").write_text(text)
        (self.tools / "new").chmod(0o755)
        (self.tools / "new").replace(self.tools / "python3")

    def run(self, shell, text=None):
        """Source setup.sh; returns what was printed, without the lines on the way."""
        done = run_in(shell, text or self.source, self.folder, **self.environment)
        done.lines = [line for line in done.stdout.splitlines() if not line.startswith("m3l: ")]
        return done

    @property
    def environment(self):
        return {"PATH": str(self.tools), "M3L_VENV": str(self.venv)}

    def calls(self, begin):
        if not self.log.exists():
            return []
        return [call for call in self.log.read_text().splitlines() if call.startswith(begin)]


def start(shell, checkout):
    """Source setup.sh in a process that is not waited for."""
    return subprocess.Popen(
        [*shell, "-c", checkout.source],
        env={k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"} | checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def end(started):
    """End processes of `start` with all that they have started."""
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


READY = ["status 0", "gone"]
REFUSED = ["status 1", "gone"]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "checkout")


def contents(folder):
    """Everything in a folder: what a change of any kind changes."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in (folder, *folder.rglob("*"))
    }


def test_packages_are_installed_once_with_the_wheel_of_root_where_there_is_none(shell, checkout):
    done = checkout.run(shell, f"{checkout.source}; {checkout.source}")
    assert done.lines == READY * 2, done
    (made,) = checkout.calls("-m venv")
    (installed,) = checkout.calls("-m pip install")
    assert made == f"-m venv {checkout.venv}"
    assert installed.endswith(f"--editable {checkout.folder}[root,ml,stats,test]")


def test_child_shell_finds_the_environment_ready(shell, checkout):
    """It inherits the variables, but not the function `deactivate`."""
    child = f"{checkout.source}; command -v python; echo $PATH"
    done = checkout.run(shell, f"{checkout.source}; {shell[0]} -c '{child}'")
    inside = f"{checkout.venv}/bin"
    assert done.lines == [*READY * 2, f"{inside}/python", f"{inside}:{checkout.tools}"], done
    assert len(checkout.calls("-m venv")) == len(checkout.calls("-m pip install")) == 1


def test_environment_of_another_checkout_is_not_touched(shell, checkout, tmp_path):
    other = Checkout(tmp_path / "other", checkout.venv)
    assert checkout.run(shell).lines == READY
    before = contents(checkout.venv)
    done = other.run(shell)
    assert done.lines == REFUSED
    assert done.stderr.splitlines() == [
        f"m3l: the environment {checkout.venv} belongs to the checkout {checkout.folder}: "
        f"set M3L_VENV to another folder for {other.folder}"
    ]
    assert contents(checkout.venv) == before
    assert not other.calls("-m")
    # Also where the first has been interrupted.
    (checkout.venv / "m3l-setup").unlink()
    before = contents(checkout.venv)
    assert other.run(shell).lines == REFUSED
    assert contents(checkout.venv) == before


def test_two_new_checkouts_at_once_have_one_owner(shell, checkout, tmp_path):
    """Both find no environment; one makes it, the other has waited and leaves it alone."""
    other = Checkout(tmp_path / "other", checkout.venv)
    both = (checkout, other)
    go = tmp_path / "go"
    os.mkfifo(go)
    for one in both:
        one.python(pip=f'read line <"{go}"')
    started = [start(shell, one) for one in both]
    try:
        with ThreadPoolExecutor(2) as pool:
            said = sorted(pool.map(lambda process: process.stdout.readline(), started))
        assert [line.split()[1] for line in said] == ["another", "preparing"]
        go.write_text("\n")
        rests = [process.communicate()[0].splitlines() for process in started]
    finally:
        end(started)
    assert sorted(rests) == sorted([READY, REFUSED])
    assert sum(len(one.calls("-m pip install")) for one in both) == 1
    owner = both[rests.index(READY)]
    assert (checkout.venv / "m3l-checkout").read_text().splitlines()[0] == str(owner.folder)


def test_checkout_that_has_moved_is_told_so(shell, checkout, tmp_path):
    """Its environment names the old place in all its programs."""
    assert checkout.run(shell).lines == READY
    before = contents(checkout.venv)
    moved = tmp_path / "moved"
    checkout.folder.rename(moved)
    here = Checkout(tmp_path / "tools", moved / "a venv")
    here.source = AFTER.replace(str(SETUP), str(moved / "setup.sh"))
    done = here.run(shell)
    assert done.lines == REFUSED
    assert done.stderr.splitlines() == [
        f"m3l: the environment {moved / 'a venv'} belongs to the checkout {checkout.folder}, "
        f"which is not there any more: set M3L_VENV to another folder for {moved}, or remove that "
        "one when no job uses it"
    ]
    kept = {moved / path.relative_to(checkout.folder): was for path, was in before.items()}
    assert contents(moved / "a venv") == kept
    assert not here.calls("-m")


def test_copy_of_a_checkout_leaves_the_environment_of_the_first(shell, checkout, tmp_path):
    assert checkout.run(shell).lines == READY
    shutil.copytree(checkout.folder, tmp_path / "copy", symlinks=True)
    here = Checkout(tmp_path / "tools", tmp_path / "copy" / "a venv")
    here.source = AFTER.replace(str(SETUP), str(tmp_path / "copy" / "setup.sh"))
    done = here.run(shell)
    assert done.lines == REFUSED and not here.calls("-m")
    (line,) = done.stderr.splitlines()
    assert line.endswith("or remove that one when no job uses it") and "not there" not in line


def test_checkout_by_another_path_is_the_same(shell, checkout):
    """As where a file system is mounted twice; the file of the owner has the other path."""
    assert checkout.run(shell).lines == READY
    link = checkout.folder.with_name("link")
    link.symlink_to(checkout.folder)
    owner = checkout.venv / "m3l-checkout"
    owner.write_text(owner.read_text().replace(str(checkout.folder), str(link)))
    assert checkout.run(shell).lines == READY
    assert len(checkout.calls("-m pip install")) == 1


def test_environment_that_was_moved_is_not_activated(shell, checkout):
    assert checkout.run(shell).lines == READY
    made_as, checkout.venv = checkout.venv, checkout.folder / "moved venv"
    made_as.rename(checkout.venv)
    done = checkout.run(shell, f"before=$PATH; {checkout.source}; [ $PATH = $before ] && echo same")
    assert done.lines == [*REFUSED, "same"]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"m3l: the environment {checkout.venv} was made as {made_as} and works")


def test_folder_with_anything_else_is_not_touched(shell, checkout):
    checkout.venv.mkdir()
    (checkout.venv / "thesis.tex").write_text("years of work")
    before = contents(checkout.venv)
    done = checkout.run(shell)
    assert done.lines == REFUSED
    assert done.stderr.splitlines() == [
        f"m3l: {checkout.venv} holds something else than an environment of this checkout: "
        "set M3L_VENV to a new folder, or remove that one"
    ]
    assert contents(checkout.venv) == before


def test_change_of_the_packages_is_installed_into_what_jobs_use(shell, checkout):
    assert checkout.run(shell).lines == READY
    used = checkout.venv / "module.py"
    used.write_text("")
    with open(checkout.folder / "pyproject.toml", "a") as file:
        file.write("# changed\n")
    assert checkout.run(shell).lines == READY
    assert len(checkout.calls("-m pip install")) == 2 and used.exists()
    assert not [call for call in checkout.calls("-m venv") if "clear" in call]


@pytest.mark.parametrize(
    "other, made_with",
    [({"version": "3.12.1"}, "Python 3.12 and the wheel of ROOT")]
    + [({"root": "echo the ROOT in /view"}, "Python 3.11 and the ROOT in /view")],
)
def test_environment_made_with_another_python_or_root_is_kept(shell, checkout, other, made_with):
    assert checkout.run(shell).lines == READY
    before = contents(checkout.venv)
    checkout.python(**other)
    done = checkout.run(shell)
    assert done.lines == REFUSED
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f"m3l: the environment {checkout.venv} was made with Python 3.11 and the wheel of ROOT, "
        f"this shell has {made_with}: "
    )
    assert contents(checkout.venv) == before


def test_environment_of_an_earlier_version_is_taken_over(shell, checkout):
    assert checkout.run(shell).lines == READY
    used = checkout.venv / "module.py"
    used.write_text("")
    (checkout.venv / "m3l-checkout").unlink()
    old = f"[project]\nPython 3.11.1\n {checkout.folder}"
    (checkout.venv / "m3l-setup").write_text(old)
    assert checkout.run(shell).lines == READY
    assert len(checkout.calls("-m pip install")) == 2 and used.exists()
    owner, made_with = (checkout.venv / "m3l-checkout").read_text().splitlines()
    assert (owner, made_with) == (str(checkout.folder), "Python 3.11 and the wheel of ROOT")


def test_interrupted_setup_is_finished_by_the_next(shell, checkout):
    checkout.python(pip="kill -9 $PPID")
    done = checkout.run(shell, f"{shell[0]} -c 'source \"{checkout.folder}/setup.sh\"'; echo next")
    assert done.lines == ["next"]
    assert not (checkout.venv / "m3l-setup").exists()
    half = checkout.venv / "numpy-2.dist-info"
    half.mkdir()
    (half / "METADATA").write_text("half")
    whole = checkout.venv / "scipy-1.dist-info"
    whole.mkdir()
    (whole / "RECORD").write_text("")
    checkout.python()
    assert checkout.run(shell).lines == READY
    assert len(checkout.calls("-m pip install")) == 2
    assert whole.exists() and not half.exists()


def test_second_shell_waits_for_the_first(shell, checkout):
    go = checkout.folder / "go"
    os.mkfifo(go)
    checkout.python(pip=f'read line <"{go}"')
    started = [start(shell, checkout) for _ in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            first = [pool.submit(process.stdout.readline) for process in started]
            said = sorted(line.result() for line in first)
        assert said == [
            f"m3l: another shell is preparing {checkout.venv}, waiting for it\n",
            f"m3l: preparing {checkout.venv}, which takes some minutes the first time\n",
        ]
        go.write_text("\n")
        for process in started:
            rest, _ = process.communicate()
            assert rest.splitlines() == READY
    finally:
        end(started)
    assert len(checkout.calls("-m pip install")) == 1


def test_options_of_the_shell_survive(shell, tmp_path):
    """Also under `set -e` and `set -u`, and in a folder whose name has a space."""
    tools = tools_without_python(tmp_path / "bin")
    text = f'set -u; source "{SETUP}" || echo failed; echo "$-" | grep -c u'
    (tmp_path / "a b").mkdir()
    done = run_in(shell, text, tmp_path / "a b", PATH=str(tools))
    assert done.stdout.splitlines() == ["failed", "1"]
    text = f'set -e; if source "{SETUP}"; then echo good; else echo failed; fi; echo alive'
    done = run_in(shell, text, tmp_path, PATH=str(tools))
    assert done.stdout.splitlines() == ["failed", "alive"]


def test_other_shells_are_told_to_use_bash_or_zsh(tmp_path):
    done = subprocess.run(
        ["sh", "-c", f'. "{SETUP}"; echo "status $?"'], capture_output=True, text=True
    )
    if "bash" in os.path.realpath(shutil.which("sh")):
        pytest.skip("sh is bash here")
    assert done.stdout.splitlines() == ["status 1"]
    assert done.stderr.splitlines() == ["m3l: source setup.sh from bash or zsh"]


@pytest.mark.slow
def test_environment_is_made_once_and_works_from_another_folder(shell, tmp_path):
    twice = f"""
        source "{SETUP}" && echo first && source "{SETUP}" && echo second
        cd "{REPOSITORY}" && python -c 'import sys, ROOT, analysis; print(sys.prefix)'
    """
    venv = str(tmp_path / "venv")
    done = run_in(shell, twice, tmp_path, PATH=with_this_python(tmp_path), M3L_VENV=venv)
    lines = done.stdout.splitlines()
    assert lines[-1] == venv, done
    assert lines.count(f"m3l: preparing {venv}, which takes some minutes the first time") == 1
    assert lines.index("first") < lines.index("second")
