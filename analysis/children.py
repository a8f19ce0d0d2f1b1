"""Work in child processes, because ROOT can take a whole process down with it.

A damaged file may abort or crash the process that reads it. Here that process is a child, forked
from this one with all that it has loaded: if it dies, the task at hand has failed with a reason,
and another child does the rest.
"""

import ctypes
import os
import signal
import sys
import traceback
import warnings
from collections import deque
from multiprocessing.connection import Pipe, wait

from analysis.errors import M3LError

_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

# ROOT would answer with pages of its stack; the parent tells what happened.
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


class DiedError(M3LError):
    """The child process that did a task has died of it."""


class KilledError(M3LError):
    """Somebody has killed the child process: the system where memory is short, or a user."""


def each(work, tasks, children=1, begin=lambda: None):
    """Call `work` with each task in child processes; yields (number of the task, result).

    work: its result must be picklable
    children: at most so many at once
    begin: called in each child before its first task
    A result is what `work` returned, or the M3LError, OSError or MemoryError that it raised,
    DiedError or KilledError if the process did not survive it; any other exception is raised here.
    Warnings are given here again.
    """
    todo = deque(enumerate(tasks))
    running = {}  # connection: Child
    try:
        while todo or running:
            while todo and len(running) < children:
                child = Child(work, begin)
                running[child.connection] = child
                child.give(*todo.popleft())
            for connection in wait(running):
                child = running[connection]
                number, result = child.number, child.take()
                if isinstance(result, DiedError | KilledError) or not todo:
                    running.pop(connection).end()
                else:
                    child.give(*todo.popleft())
                yield number, result
    finally:
        for child in running.values():
            child.end()


class Child:
    """A child process that does one task after the other."""

    def __init__(self, work, begin):
        self.connection, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self.connection.close()
            obey(work, begin, theirs, parent)
        theirs.close()

    def give(self, number, task):
        """Let it do a task."""
        self.number = number
        try:
            self.connection.send(task)
        except BrokenPipeError:  # it has died; `take` says how
            pass

    def take(self):
        """The result of its task, waiting for it."""
        try:
            result, given = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return self.death()
        for warning in given:
            warnings.warn_explicit(*warning)
        if isinstance(result, Exception) and not isinstance(
            result, M3LError | OSError | MemoryError
        ):
            raise result
        return result

    def death(self):
        """Why it is gone, as an exception."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = None
        if status == -signal.SIGKILL:
            return KilledError(
                "the process that reads the events was killed: with too little memory, choose "
                "fewer regions or samples"
            )
        if status < 0:
            reason = signal.strsignal(-status)
            if status == -signal.SIGFPE:
                reason += ": an integer was divided by zero, perhaps in an expression"
            return DiedError(f"ROOT crashed ({reason})")
        return DiedError(f"ROOT ended the process (status {status})")

    def end(self):
        """End it at once; what it had to tell was taken."""
        self.connection.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None


def die_with_parent():
    """Let this process be killed when its parent has ended, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def obey(work, begin, connection, parent):
    """The life of a child: tasks from the connection, results back."""
    # It ends with its parent, which also decides what Ctrl-C means.
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for ending in (signal.SIGTERM, *CRASHES):
        signal.signal(ending, signal.SIG_DFL)
    try:
        begun = False
        while os.getppid() == parent:
            task = connection.recv()
            with warnings.catch_warnings(record=True) as given:
                warnings.simplefilter("always")
                try:
                    if not begun:
                        begin()
                        begun = True
                    result = work(task)
                except (M3LError, OSError, MemoryError) as error:
                    result = error
                except Exception as error:
                    result = error
                    if type(error).__module__ != "builtins":  # C++ exceptions do not travel
                        result = RuntimeError(f"{type(error).__name__}: {error}")
                    result.add_note(traceback.format_exc())
            told = [(w.message, w.category, w.filename, w.lineno) for w in given]
            connection.send((result, told))
    except (EOFError, OSError):
        pass  # the parent needs no more
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
