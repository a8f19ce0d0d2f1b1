"""The one error of this package that a user is meant to read."""


class MLError(Exception):
    """What is wrong, where, and what to do, in one line; the command line prints it and exits 1."""


def listed(names, most: int = 4) -> str:
    """Name the first few of ``names`` and count the rest: ``a, b (and 3 more)``."""
    names = [str(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" (and {rest} more)" if rest > 0 else "")
