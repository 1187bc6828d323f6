#!/usr/bin/python3
"""Are 500 backups as good as one? The rate of first 4 KiB writes, depth 16, to a volume of which 500 backups are
kept, over that of a volume with one; and the rate of 4 KiB reads, depth 16, of the oldest of the 500, over that of
the newest. Between the backups hosts write to random places, so that the oldest ends up wholly in the save area.

  generations.py [--quick] [--rounds 5] [--mebibytes 256]
"""
import pathlib, random, subprocess
import nbd
from bench_site import HERE, Site, compile_c
from measure import Options, fio, median, ratio, row

options = Options(mebibytes=256, quick_mebibytes=16)
BACKUPS = 12 if options.quick else 500


def main():
    nbdw = compile_c(HERE / "clients/nbdw.c", "-lnbd")
    site = Site()
    try:
        site.start()
        site.send("CreateVolumes", "box1", "volumes=[%s]" % ",".join(
            '{"id":"%s","capacity":"%dMiB","safeguardedMultiplier":1000}' % (id, options.mebibytes) for id in ("0100", "0101")))
        for session, volume in (("one", "0100"), ("many", "0101")):
            site.send("CreateSession", session, "type=SafeguardedCopy")
            site.send("AddCopySets", session, 'copySets=[{"H1":"box1:%s"}]' % volume)
            subprocess.run(f"head -c {options.mebibytes << 20} /dev/urandom | nbdcopy --flush - "
                           f"nbd://127.0.0.1:{site.nbd}/box1%3A{volume}", shell=True, check=True)
        oldest = fill(site)
        writes(site, nbdw)
        reads(site, oldest)
    finally:
        site.close()
        pathlib.Path(nbdw).unlink()


def fill(site):
    host = nbd.NBD()
    host.connect_uri(f"nbd://127.0.0.1:{site.nbd}/box1%3A0101")
    tracks, rest = options.mebibytes * 16, []
    data = random.randbytes(65536)
    oldest = None
    for number in range(BACKUPS):
        backup = site.send("Backup", "many")["result"]["backupId"]
        oldest = oldest or backup
        # Every track several times over the whole life, a few with each backup.
        for _ in range(max(4 * tracks // BACKUPS, 1)):
            rest = rest or random.sample(range(tracks), tracks)
            host.pwrite(data, rest.pop() * 65536)
    host.flush()
    host.shutdown()
    return oldest


def writes(site, nbdw):
    one, many, last = [], [], None
    rate = lambda volume: float(subprocess.check_output(
        [nbdw, "-p", str(site.nbd), "-e", f"box1:{volume}", "-q", "16"], text=True).split("writes/s")[1].split()[0])
    for _ in range(options.rounds):
        new = site.send("Backup", "one")["result"]["backupId"]
        if last:
            site.send("ExpireBackup", "one", f"backupId={last}")
        last = new
        one.append(rate("0100"))
        site.send("Backup", "many")
        many.append(rate("0101"))
    row(f"First 4 KiB writes, depth 16, with {BACKUPS} backups kept; with one (`generations.py`)",
        f"{median(many):,.0f}/s", f"{median(one):,.0f}/s: the same with one backup", f"{ratio(many, one):.2f}")


def reads(site, oldest):
    newest = site.send("Backup", "many")["result"]["backupId"]
    uri = lambda backup: f"nbd://127.0.0.1:{site.nbd}/many%2F{backup}%2Fbox1%3A0101"
    old, new = [], []
    for _ in range(options.rounds):
        old.append(fio(uri(oldest), "randread", "4k", 16, options.seconds))
        new.append(fio(uri(newest), "randread", "4k", 16, options.seconds))
    row(f"4 KiB reads, depth 16, of the oldest of {BACKUPS} backups; of the newest (`generations.py`)",
        f"{median(old):,.0f}/s", f"{median(new):,.0f}/s: the newest", f"{ratio(old, new):.2f}")


main()
