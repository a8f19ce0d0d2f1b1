"""Work in child processes: results, mistakes, warnings, and children that die."""

import os
import signal
import subprocess
import sys
import warnings

import pytest
from conftest import REPOSITORY

from analysis.children import DiedError, KilledError, each
from analysis.errors import InputError


def results(work, tasks, **more):
    return dict(each(work, tasks, **more))


def test_results_have_the_numbers_of_their_tasks():
    assert results(lambda x: (x * x, os.getpid()), [], children=2) == {}
    found = results(lambda x: (x * x, os.getpid()), [3, 4, 5], children=2)
    assert [found[n][0] for n in range(3)] == [9, 16, 25]
    assert os.getpid() not in {pid for _, pid in found.values()}


def test_one_child_does_all_and_begins_once():
    begun = []
    found = results(lambda _: (os.getpid(), len(begun)), range(4), begin=lambda: begun.append(1))
    assert len({pid for pid, _ in found.values()}) == 1
    assert {number for _, number in found.values()} == {1}
    assert begun == []


@pytest.mark.parametrize("end", [os.abort, lambda: os._exit(3)])
def test_child_that_dies_fails_its_task_only(end):
    found = results(lambda x: end() if x == 1 else x, range(4), children=2)
    assert isinstance(found.pop(1), DiedError)
    assert found == {0: 0, 2: 2, 3: 3}


def test_killed_child_is_told_from_one_that_crashed():
    found = results(lambda x: os.kill(os.getpid(), signal.SIGKILL), [0])
    assert isinstance(found[0], KilledError)
    found = results(lambda x: os.kill(os.getpid(), signal.SIGSEGV), [0])
    assert "Segmentation fault" in str(found[0])


def test_mistakes_come_back_with_all_their_problems():
    def work(task):
        raise InputError("a", "b")

    (error,) = results(work, [0]).values()
    assert isinstance(error, InputError) and error.problems == ("a", "b")


def test_bug_is_raised_with_where_it_happened():
    with pytest.raises(ZeroDivisionError) as caught:
        results(lambda x: 1 / x, [0])
    assert "test_children.py" in "".join(caught.value.__notes__)


def test_warnings_are_given_here():
    with pytest.warns(UserWarning, match="once more"):
        results(lambda x: warnings.warn("once more", stacklevel=1), [0])


def test_children_end_when_nobody_waits_for_them():
    running = each(lambda x: os.getpid() if x == 0 else signal.pause(), range(2), children=2)
    _, pid = next(running)
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_children_end_with_a_parent_that_is_killed():
    code = (
        "import os, sys, signal; from analysis.children import each\n"
        "def work(x):\n"
        "    print(os.getpid(), flush=True); signal.pause()\n"
        "list(each(work, [0]))"
    )
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        assert parent.stdout.read() == ""  # comes when the child has closed its end, too
