"""A program that is imported once and forks for each run: forking.py MODULE IMPORT...

Reads orders as lines of JSON; answers each with the exit status of the run.
"""

import ctypes
import importlib
import json
import os
import runpy
import sys


def run(module, order):
    """Be the program, in a process of its own."""
    for descriptor, path in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags, 0o600), descriptor)
    sys.argv = [module, *order["words"]]
    os.environ.update(order["environment"])
    ctypes.CDLL(None).m3l_fault_setup()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    program, *imports = sys.argv[1:]
    for name in imports:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    # Read without a buffer that the children would share.
    orders = os.fdopen(os.dup(0), "rb", buffering=0)
    while line := orders.readline():
        child = os.fork()
        if not child:
            answers.close()
            orders.close()
            run(program, json.loads(line))
            break
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, file=answers, flush=True)
