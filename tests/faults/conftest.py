"""What the tests of faults share beside inject.py."""

import shutil
import subprocess

import pytest


@pytest.fixture
def at_most(request):
    """How many calls of a sweep fail: a function of that number; with --slow all of them."""
    slow = request.config.getoption("--slow")
    return lambda number: None if slow else number


@pytest.fixture
def small_filesystem(tmp_path):
    """A function that mounts a file system of so many bytes and returns its folder."""
    mounted = []

    def mount(size, files=0):
        """files: how many it can hold, 0 for as many as fit"""
        folder = tmp_path / f"small_{len(mounted)}"
        folder.mkdir()
        options = f"size={size}" + (f",nr_inodes={files}" if files else "")
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
