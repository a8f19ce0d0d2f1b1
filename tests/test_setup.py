"""setup.sh in bash and zsh: it works twice and from anywhere, and a failure leaves the shell."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY

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
        timeout=1200,
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


FAKE_PYTHON = """#!/bin/sh
echo "$@" >>"{log}"
case "$*" in
*--version*) echo Python 3.11.2 ;;
*"-m venv"*)
    for venv; do :; done
    mkdir -p "$venv/bin"
    cp "$0" "$venv/bin/python"
    echo 'VIRTUAL_ENV="{venv}"' >"$venv/bin/activate" ;;
esac
"""


def test_packages_are_installed_once_with_the_wheel_of_root_where_there_is_none(shell, tmp_path):
    tools, log, venv = tools_without_python(tmp_path / "bin"), tmp_path / "log", tmp_path / "a venv"
    (tools / "python3").write_text(FAKE_PYTHON.format(log=log, venv=venv))
    (tools / "python3").chmod(0o755)
    text = f"{AFTER}; {AFTER}"
    done = run_in(shell, text, tmp_path, PATH=str(tools), M3L_VENV=str(venv))
    assert [line for line in done.stdout.splitlines() if "m3l" not in line] == [
        "status 0",
        "gone",
    ] * 2, done
    calls = log.read_text().splitlines()
    (made,) = [call for call in calls if call.startswith("-m venv")]
    (installed,) = [call for call in calls if call.startswith("-m pip install")]
    assert made == f"-m venv --clear {venv}"
    assert installed.endswith(f"--editable {REPOSITORY}[root,ml,test]")


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
