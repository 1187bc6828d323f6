#!/usr/bin/python3
"""A backup of 1, 100, 1,000 and 10,000 volumes, or a flash of as many pairs, under host writes: what the hosts
feel, and the whole time, beside a qemu-storage-daemon transaction of as many backup jobs.

  backup_stall.py [COUNTS 1,100,1000,10000] [TIMES 5] [Backup|Flash]

A flash is incremental and without background copy: the first establishes, the others refresh.

Hosts: four connections, each writing 4 KiB at depth 1 at random places of random volumes. Three
latencies: of the writes that were under way within a backup (from its decision to its outcome), of the
writes in the 0.8 seconds after a backup, and of those in the two seconds before the first one. After a
backup nearly every write is the first to its track and saves what it overwrites, whether a backup is
running or not; so what a backup itself costs is the difference between within and after. The first
backup also writes out everything that the hosts have written so far; it is shown apart.
"""
import subprocess, sys, time
from datetime import datetime
from bench_site import Site, compile_c, median, HERE
from qemu import transaction_seconds

counts = [int(c) for c in (sys.argv[1] if len(sys.argv) > 1 else "1,100,1000,10000").split(",")]
backups = int(sys.argv[2]) if len(sys.argv) > 2 else 5
command = sys.argv[3] if len(sys.argv) > 3 else "Backup"
TARGETS = 0x8000


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def create(site, numbers, multiplier):
    volumes = ",".join('{"id":"%04x","capacity":"64MiB","safeguardedMultiplier":%d}' % (n, multiplier) for n in numbers)
    site.send("CreateVolumes", "box1", f"volumes=[{volumes}]")


def measure(stall, count):
    site = Site()
    try:
        site.start()
        if command == "Flash":
            site.send("CreateSession", "all", "type=FlashCopy", 'options={"incremental":true,"noCopy":true}')
        else:
            site.send("CreateSession", "all", "type=SafeguardedCopy")
        for first in range(0, count, 1000):  # a word of the command line has an end
            some = range(first, min(count, first + 1000))
            create(site, some, 4)
            pairs = ['{"H1":"box1:%04x"}' % n for n in some]
            if command == "Flash":
                create(site, [TARGETS + n for n in some], 0)
                pairs = ['{"H1":"box1:%04x","T1":"box1:%04x"}' % (n, TARGETS + n) for n in some]
            site.send("AddCopySets", "all", "copySets=[" + ",".join(pairs) + "]")
        exports = [f"box1:{n:04x}" for n in range(0, count, max(1, count // 16))][:16]
        log = site.directory / "writes.log"
        words = [stall, "-p", str(site.nbd), "-j", "4", "-d", str(4 + 2 * backups), "-l", str(log)]
        for export in exports:
            words += ["-e", export]
        writers = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        began = time.time()
        time.sleep(3)
        windows = []
        for _ in range(backups):
            outcome = site.send(command, "all")
            windows.append((seconds(outcome["startedAt"]), seconds(outcome["finishedAt"])))
            time.sleep(1)
        writers.wait()
        writes = [tuple(map(float, line.split()[:2])) for line in log.read_text().splitlines()]
        return windows, writes, began
    finally:
        site.close()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main():
    stall = compile_c(HERE / "clients/stall.c", "-lnbd", "-pthread")
    show = lambda values: "/".join(f"{percentile(values, s):.2f}" for s in (0.5, 0.99, 1.0))
    print(f"volumes | whole {command} ms, median (first) | writes within p50/p99/max ms | after | before | QEMU transaction ms")
    for count in counts:
        windows, writes, began = measure(stall, count)
        first, rest = windows[0], windows[1:]
        span = lambda a, b: [us / 1000 for at, us in writes if at + us / 1e6 >= a and at <= b]
        within = [us for a, b in rest for us in span(a, b)]
        after = [us for a, b in rest for us in span(b + 0.05, b + 0.85)]
        before = span(began + 1, first[0] - 0.1)
        peer = median([transaction_seconds(count, Site.place()) for _ in range(3)]) * 1000 if count <= 1000 else float("nan")
        whole = median([(b - a) * 1000 for a, b in rest])
        print(f"{count:7d} | {whole:.0f} ({(first[1] - first[0]) * 1000:.0f}) | {show(within)} of {len(within)} | {show(after)} | "
              f"{show(before)} | first {show(span(*first))} | {peer:.1f}", flush=True)


main()
