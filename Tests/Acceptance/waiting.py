"""Waiting on conditions, always with a deadline."""

import time

PAUSE = 0.02


class TooLate(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition, seconds, what, every=PAUSE):
    """Returns the first true value of `condition()`; raises TooLate after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TooLate(f"not within {seconds} s: {what}")
        time.sleep(every)


class Deadline:
    """A moment by which something is to be done."""

    def __init__(self, seconds, what):
        self.seconds = seconds
        self.what = what
        self.end = time.monotonic() + seconds

    def left(self):
        """Seconds left; raises TooLate where there are none."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TooLate(f"not within {self.seconds} s: {self.what}")
        return left
