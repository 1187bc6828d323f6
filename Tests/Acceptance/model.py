"""What a session's volumes must hold: a history of steps, each begun once the last was durable.

A step is one write with FUA, or a few writes (or zeroings) followed by a flush, on one volume. Each
sector that it writes says so: volume, sector, number of the step. Since step k+1 is begun only once
step k is known to be durable, the only contents that may ever be seen at one instant, over all
volumes together, are those of the first k steps with any part of step k+1: `find_instant` looks for
them.
"""

import struct
import threading

SECTOR = 512
STAMP = struct.Struct(">IIQ")


class Step:
    """Ranges of sectors of one volume that are written, or zeroed, together."""

    __slots__ = ("volume", "ranges", "zero", "fua", "number")

    def __init__(self, volume, ranges, zero, fua, number):
        self.volume = volume
        self.ranges = ranges
        self.zero = zero
        self.fua = fua
        self.number = number

    def sectors(self):
        return [sector for first, count in self.ranges for sector in range(first, first + count)]


def content(volume, sector, step):
    """The bytes of a sector that this step wrote last; `step` is None where none has."""
    if step is None or step.zero:
        return bytes(SECTOR)
    return STAMP.pack(volume, sector, step.number) * (SECTOR // STAMP.size)


class Model:
    """The history of a session's volumes. One thread writes, others look at it."""

    def __init__(self, volumes, capacity):
        self.sectors = capacity // SECTOR
        self.history = []
        self.durable = 0
        self.state = [[None] * self.sectors for _ in range(volumes)]
        self.lock = threading.Lock()

    def begin(self, volume, ranges, zero, fua):
        """Notes a step before it is asked for."""
        with self.lock:
            step = Step(volume, ranges, zero, fua, len(self.history) + 1)
            self.history.append(step)
            return step

    def settle(self, step):
        """Notes that the step is durable."""
        with self.lock:
            self.durable = step.number
            for sector in step.sectors():
                self.state[step.volume][sector] = step

    def begun(self):
        with self.lock:
            return len(self.history)

    def snapshot(self):
        """(number of durable steps, which step each sector is from then)."""
        with self.lock:
            return self.durable, [list(volume) for volume in self.state]

    def steps(self, after, upto):
        with self.lock:
            return self.history[after:upto]

    def expected(self):
        """The volumes' bytes, once every step is durable."""
        with self.lock:
            return [b"".join(content(v, s, step) for s, step in enumerate(volume))
                    for v, volume in enumerate(self.state)]


def sector_of(images, volume, sector):
    return images[volume][sector * SECTOR:(sector + 1) * SECTOR]


def find_instant(model, images, snapshot, upto):
    """The number of steps that the images show, from the snapshot's to `upto`.

    The step that follows may show too, in part or wholly. Raises where no instant looks like that.
    """
    number, state = snapshot[0], [list(volume) for volume in snapshot[1]]
    wrong = {(v, s) for v, volume in enumerate(state) for s, step in enumerate(volume)
             if sector_of(images, v, s) != content(v, s, step)}
    first_wrong = set(wrong)
    for step in model.steps(number, upto):
        if not wrong or shows_part(images, step, wrong):
            return number
        for sector in step.sectors():
            place = step.volume, sector
            if sector_of(images, *place) == content(*place, step):
                wrong.discard(place)
            else:
                wrong.add(place)
        number = step.number
    if not wrong:
        return number
    raise AssertionError(describe(images, model, snapshot[0], upto, wrong, first_wrong))


def shows_part(images, step, wrong):
    """True where what is wrong so far is what this step has already written."""
    places = {(step.volume, sector) for sector in step.sectors()}
    return wrong <= places and all(
        sector_of(images, *place) == content(*place, step) for place in wrong)


def describe(images, model, low, high, wrong, first_wrong):
    lines = [f"no instant from step {low} to {high} looks like this; "
             f"wrong at the end {len(wrong)} sectors, at the start {len(first_wrong)}"]
    for volume, sector in sorted(wrong)[:8]:
        found = sector_of(images, volume, sector)
        stamp = STAMP.unpack_from(found)
        seen = "zeroes" if found == bytes(SECTOR) else f"volume, sector, step {stamp}"
        wrote = [step.number for step in model.steps(0, high)
                 if step.volume == volume and sector in step.sectors()]
        lines.append(f"  volume {volume} sector {sector}: {seen}; written by steps {wrote[-5:]}")
    return "\n".join(lines)
