#!/usr/bin/python3
"""A background copy of a whole volume to a fresh one, until every track is there durably; beside nbdcopy, cp and a
QEMU backup job of files of the same size. Then incremental refreshes: 10 % of the tracks, scattered, beside
QEMU's incremental backup job; 1 % of a volume of 64 GiB that is sparse otherwise, likewise. And a reverse restore:
until a host reads the restored content. The engine alone, without NBD, as the peers read and write files.

  copies.py [--quick] [--rounds 5] [--mebibytes 2048]
"""
import os, random, subprocess, time
import nbd
from bench_site import free_port
from measure import Engine, Options, Place, median, random_file, ratio, row, warm
from qemu import StorageDaemon

options = Options()
LARGE = (8 if options.quick else 64) << 10


def timed(words):
    began = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def fresh(target, size):
    target.unlink(missing_ok=True)
    with open(target, "wb") as file:
        file.truncate(size)
    subprocess.run(["sync", str(target)])


def nbdcopy(source, target):
    fresh(target, source.stat().st_size)
    return timed(["nbdcopy", "--flush", str(source), str(target)])


def cp(source, target):
    target.unlink(missing_ok=True)
    return timed(["sh", "-c", f"cp --reflink=never '{source}' '{target}' && sync -d '{target}'"])


class Backup:
    """QEMU with a source that can be written to over NBD, and a target."""

    def __init__(self, source, target, place):
        self.target, self.port = target, free_port()
        node = lambda name, path: f"driver=file,node-name={name},filename={path},cache.direct=on,aio=io_uring"
        self.daemon = StorageDaemon([
            "--blockdev", node("src", source), "--blockdev", node("tgt", target),
            "--nbd-server", f"addr.type=inet,addr.host=127.0.0.1,addr.port={self.port}",
            "--export", "type=nbd,id=e,node-name=src,name=x,writable=on"], place)
        self.number = 0

    def run(self, **how):
        """Until the job is done and the target synced."""
        self.number += 1
        job = f"j{self.number}"
        began = time.monotonic()
        self.daemon.execute("blockdev-backup", **{"job-id": job, "device": "src", "target": "tgt", **how})
        while any(found["id"] == job for found in self.daemon.execute("query-jobs")):
            time.sleep(0.0005)
        subprocess.run(["sync", "-d", str(self.target)], check=True)
        return time.monotonic() - began

    def write(self, percent):
        """Whole tracks, scattered evenly."""
        host = nbd.NBD()
        host.connect_uri(f"nbd://127.0.0.1:{self.port}/x")
        tracks = host.get_size() // 65536
        count = max(1, int(tracks * percent / 100))
        for index in range(count):
            first, end = index * tracks // count, (index + 1) * tracks // count
            host.pwrite(random.randbytes(65536), random.randrange(first, max(end, first + 1)) * 65536)
        host.flush()
        host.shutdown()

    def close(self):
        self.daemon.close()


def whole(place):
    source, target, size = place / "source.raw", place / "target.raw", options.mebibytes
    random_file(source, size)
    engine = Engine("copies", place / "engine", "--mebibytes", str(size))
    try:
        seconds = {"ours": [], "nbdcopy": [], "cp": [], "qemu": []}
        for number in range(0 if options.quick else -1, options.rounds):
            warm(size * 2)
            took = {"ours": engine.tell("copy")[0], "nbdcopy": nbdcopy(source, target), "cp": cp(source, target)}
            fresh(target, source.stat().st_size)
            backup = Backup(source, target, place)
            took["qemu"] = backup.run(sync="full")
            backup.close()
            if number >= 0:  # the one before warms up
                for name, value in took.items():
                    seconds[name].append(value)
        rate = {name: [size / value for value in values] for name, values in seconds.items()}
        row(f"Background copy of {size} MiB, until copied (`copies.py`)", f"{median(rate['ours']):,.0f} MiB/s",
            "; ".join(f"{median(rate[n]):,.0f} MiB/s: {w}" for n, w in (
                ("nbdcopy", "nbdcopy"), ("cp", "cp --reflink=never and sync"), ("qemu", "QEMU blockdev-backup"))),
            "; ".join(f"{ratio(rate['ours'], rate[n]):.2f}" for n in ("nbdcopy", "cp", "qemu")))
    finally:
        engine.close()


def refresh(place):
    source, target, size = place / "source.raw", place / "target.raw", options.mebibytes
    fresh(target, source.stat().st_size)
    backup = Backup(source, target, place)
    engine = Engine("copies", place / "engine", "--mebibytes", str(size))
    try:
        backup.run(sync="full")
        backup.daemon.execute("block-dirty-bitmap-add", node="src", name="b", granularity=65536)
        engine.tell("establish")
        ours, theirs, bytes = [], [], 0
        for _ in range(options.rounds):
            engine.tell("write 10")
            seconds, bytes = engine.tell("refresh")
            ours.append(seconds)
            backup.write(10)
            theirs.append(backup.run(sync="incremental", bitmap="b"))
        row(f"Incremental refresh of 10 % of {size} MiB, scattered (`copies.py`)",
            f"{median(ours) * 1000:,.0f} ms, {bytes >> 20} MiB moved",
            f"{median(theirs) * 1000:,.0f} ms: QEMU sync=incremental", f"{ratio(theirs, ours):.2f} times as fast")
        reverses(engine, f"{size} MiB")
    finally:
        engine.close()
        backup.close()


def large(place):
    source, target = place / "source.raw", place / "target.raw"
    fresh(source, LARGE << 20)
    fresh(target, LARGE << 20)
    backup = Backup(source, target, place)
    engine = Engine("copies", place / "engine", "--mebibytes", str(LARGE))
    try:
        backup.daemon.execute("block-dirty-bitmap-add", node="src", name="b", granularity=65536)
        print(f"first copy of {LARGE} MiB, sparse: {engine.tell('establish')[0]:.1f} s", flush=True)
        ours, theirs, bytes = [], [], 0
        for _ in range(options.rounds):
            engine.tell("write 1")
            seconds, bytes = engine.tell("refresh")
            ours.append(seconds)
            backup.write(1)
            theirs.append(backup.run(sync="incremental", bitmap="b"))
        row(f"Incremental refresh of 1 % of {LARGE >> 10} GiB, sparse (`copies.py`)",
            f"{median(ours) * 1000:,.0f} ms, {bytes >> 20} MiB moved: {bytes / (LARGE << 20):.2%}",
            f"{median(theirs) * 1000:,.0f} ms: QEMU sync=incremental", f"{ratio(theirs, ours):.2f} times as fast")
        reverses(engine, f"{LARGE >> 10} GiB")
    finally:
        engine.close()
        backup.close()


def reverses(engine, size):
    milliseconds = [engine.tell("reverse")[0] * 1000 for _ in range(options.rounds)]
    row(f"Reverse restore of {size}, until hosts read the restored content (`copies.py`)",
        f"{median(milliseconds):.2f} ms", "–")


def main():
    with Place() as place:
        whole(place)
        refresh(place)
        for name in ("source.raw", "target.raw"):
            os.unlink(place / name)
        large(place)


main()
