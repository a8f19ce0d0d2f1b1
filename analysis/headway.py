"""How far a long task is: a bar at a terminal, a line now and then elsewhere."""

import time

PAUSE = 10  # s between two lines


class Progress:
    """What is done of a task, rate and time left. To be used in a `with`, and called."""

    def __init__(self, name, total, file, unit="events", delay=0):
        """file: where it is written; delay: s before there is a bar"""
        self.name, self.total, self.file, self.unit = name, total, file, unit
        self.begin = self.last = time.monotonic()
        self.bar = None
        if self.file.isatty():
            from tqdm import tqdm  # takes a while

            self.bar = tqdm(
                total=total,
                desc=name,
                unit=f" {unit}",
                unit_scale=True,
                leave=False,
                file=self.file,
                dynamic_ncols=True,
                delay=delay,
            )

    def __call__(self, done):
        """Show that so many are done."""
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
        elif time.monotonic() - self.last > PAUSE:
            self.last = time.monotonic()
            rate = done / (self.last - self.begin)
            left = (
                f"{(self.total - done) / rate:.0f} s left" if rate else f"no {self.unit[:-1]} yet"
            )
            speed = f"{rate / 1000:.0f} k/s" if rate > 500 else f"{rate:.0f}/s"
            print(
                f"{self.name}: {done} of {self.total} {self.unit}, {speed}, {left}",
                file=self.file,
                flush=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()
