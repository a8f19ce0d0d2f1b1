"""Many pictures at once: the same work in several processes, with a progress bar."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from analysis.errors import OutputError


def cores():
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def each(work, chunks, processes, what):
    """Yield (place, result) of `work(*chunk)` for each chunk, in the order in which they finish.

    work: function of a module; chunks: its arguments, small enough to be sent to another process
    processes: at most so many at once; one or a single chunk stays in this process
    what: what a chunk holds, for the progress bar, which appears on a terminal only
    """
    chunks = list(chunks)
    show = {"total": len(chunks), "unit": what, "disable": not sys.stderr.isatty(), "leave": False}
    if min(processes, len(chunks)) <= 1:
        yield from enumerate(tqdm((work(*chunk) for chunk in chunks), **show))
        return
    # Not by plain fork: libraries here start threads.
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix":
        context.set_forkserver_preload([work.__module__])
    with ProcessPoolExecutor(
        min(processes, len(chunks)), context, initializer=end_with_parent
    ) as pool:
        tasks = {pool.submit(run_chunk, work, chunk): place for place, chunk in enumerate(chunks)}
        try:
            for task in tqdm(as_completed(tasks), **show):
                yield tasks[task], task.result()
        except BrokenProcessPool:
            raise OutputError(
                "a drawing process ended, perhaps for lack of memory: try again with -j 1"
            ) from None
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def flat(results):
    """One list of the lists that `each` yields, in the order of the chunks."""
    return [item for _, items in sorted(results, key=lambda pair: pair[0]) for item in items]


def run_chunk(work, chunk):
    """Do the work; when told to terminate, clean up and end, which the executor would not."""
    try:
        return work(*chunk)
    except SystemExit:
        os._exit(1)


def end_with_parent():
    """Leave interruption to the parent process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def in_chunks(items, size):
    """Lists of at most `size` neighbours."""
    items = list(items)
    return [items[start : start + size] for start in range(0, len(items), size)]
