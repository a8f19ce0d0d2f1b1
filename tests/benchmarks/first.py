"""Run run_rdf.py and print when its first events have been read."""

import sys
import time

from analysis.loops import EventLoop
from tests.benchmarks.measure import FIRST


def watch():
    """Let this process, and its children, print the time at which events of a loop are read."""
    tick = EventLoop.tick

    def watched(self, progress):
        told = []

        def look(entries):
            if entries and not told:
                told.append(entries)
                print(FIRST, time.time(), flush=True)
            progress(entries)

        return tick(self, look)

    EventLoop.tick = watched


def main(words):
    watch()
    import run_rdf

    run_rdf.main(words)


if __name__ == "__main__":
    main(sys.argv[1:])
