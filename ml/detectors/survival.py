"""Background survival: the share of the background that is at least as anomalous as an event.

Beyond the tail of the simulated events an exponential goes on, with the mean excess of the last
ones, so that events are ranked there, too (the simplest generalised Pareto tail; J. Pickands, Ann.
Stat. 3 (1975) 119).
"""

import numpy as np

TAIL = 30  # events that tell the slope of the tail, at most a third of all
KNOTS = 4000  # that a survival function is kept as, at most
LEAST = 3  # events without which there is no tail


def learn_survival(values, weight):
    """{name: array} of the survival function of (events,) background values with weights >= 0.

    `x` (knots,) rising values, `y` (knots,) minus the logarithm of the share at or above each, and
    `tail` [start, value there, slope]. Without events every share is 1.
    """
    if len(values) < LEAST or not weight.sum() > 0:
        return {"x": np.zeros(1), "y": np.zeros(1), "tail": np.zeros(3)}
    order = np.argsort(values, kind="stable")[::-1]
    x, passed = values[order], np.cumsum(weight[order]) / weight.sum()
    number = min(TAIL, len(x) // 3)
    start = x[number]
    excess = np.average(x[:number] - start, weights=weight[order][:number])
    ends = np.flatnonzero(np.append(np.diff(x) != 0, True))  # of equal values, all pass
    # Where the last events of the tail are all alike, nothing goes on.
    inner = x[ends] <= (start if excess > 0 else x[0])
    x, y = x[ends][inner][::-1], -np.log(passed[ends][inner][::-1])
    if len(x) > KNOTS:
        chosen = np.linspace(0, len(x) - 1, KNOTS // 2).astype(int)
        chosen = np.union1d(chosen, np.arange(len(x) - KNOTS // 2, len(x)))
        x, y = x[chosen], y[chosen]
    return {"x": x, "y": y, "tail": np.array([x[-1], y[-1], 1 / excess if excess > 0 else 0.0])}


def minus_log_survival(values, numbers, prefix=""):
    """(events,) minus the logarithm of the share of the background at or above each value."""
    start, at_start, slope = numbers[f"{prefix}tail"]
    inside = np.interp(values, numbers[f"{prefix}x"], numbers[f"{prefix}y"])
    return np.where(values > start, at_start + slope * (values - start), inside)
