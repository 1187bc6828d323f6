#!/usr/bin/python3
"""What a first write to a track after a backup costs: the rate of unprotected writes over that of first writes,
4 KiB, depth 16, every track once, over NBD; beside QEMU's copy-before-write filter. With the storage's write
journal and without it, where the worker knows the key `journal`.

  penalty.py [--quick] [--rounds 5] [--mebibytes 1024]
"""
import pathlib, subprocess
from bench_site import HERE, Refused, Site, compile_c, free_port
from measure import Options, Place, median, random_file, ratio, row, warm
from qemu import StorageDaemon

options = Options(mebibytes=1024)


def passes(nbdw, where, count=1):
    lines = subprocess.check_output([nbdw, *where, "-b", "4096", "-q", "16", "-n", str(count)], text=True).splitlines()
    return [float(line.split("writes/s")[1].split()[0]) for line in lines if line.startswith("pass")]


def both(nbdw, storage, place, raw):
    """Rounds of (unprotected, first, QEMU's unprotected, QEMU's first); ours of two volumes of one store."""
    site = Site(storage=storage)
    try:
        site.start()
        site.send("CreateVolumes", "box1", 'volumes=[{"id":"0100","capacity":"%dMiB","safeguardedMultiplier":100},'
                  '{"id":"0101","capacity":"%dMiB"}]' % (options.mebibytes, options.mebibytes))
        site.send("CreateSession", "p", "type=SafeguardedCopy")
        site.send("AddCopySets", "p", 'copySets=[{"H1":"box1:0100"}]')
        for volume in ("0100", "0101"):
            subprocess.run(["nbdcopy", "--flush", str(raw), f"nbd://127.0.0.1:{site.nbd}/box1%3A{volume}"], check=True)
        rounds = []
        for _ in range(options.rounds):
            plain = passes(nbdw, ["-p", str(site.nbd), "-e", "box1:0101"])[0]
            site.send("Backup", "p")
            first = passes(nbdw, ["-p", str(site.nbd), "-e", "box1:0100"])[0]
            rounds.append((plain, first, daemon(nbdw, place, raw, False), daemon(nbdw, place, raw, True)))
        return rounds
    finally:
        site.close()


def daemon(nbdw, place, raw, filtered):
    port, target = free_port(), place / "t.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(target), f"{options.mebibytes}M"], check=True)
    words = ["--blockdev", f"driver=file,node-name=src,filename={raw},cache.direct=on,aio=io_uring"]
    if filtered:
        words += ["--blockdev", f"driver=qcow2,node-name=tgt,file.driver=file,file.filename={target},"
                                "file.cache.direct=on,file.aio=io_uring",
                  "--blockdev", "driver=copy-before-write,node-name=cbw,file=src,target=tgt"]
    qemu = StorageDaemon(words + [
        "--nbd-server", f"addr.type=inet,addr.host=127.0.0.1,addr.port={port}",
        "--export", f"type=nbd,id=e,node-name={'cbw' if filtered else 'src'},name=x,writable=on"], place)
    try:
        return passes(nbdw, ["-p", str(port), "-e", "x"])[0]
    finally:
        qemu.close()


def main():
    nbdw = compile_c(HERE / "clients/nbdw.c", "-lnbd")
    with Place() as place:
        raw = place / "n.raw"
        random_file(raw, options.mebibytes)
        warm(options.mebibytes * 2)
        for name, storage in {"as configured by default": (), "`journal: off`": ("journal: off",)}.items():
            try:
                rounds = both(nbdw, storage, place, raw)
            except Refused as refused:
                print(f"skipped, the worker does not know it: {name}: {str(refused)[-200:]}")
                continue
            plain, first, their_plain, their_first = (list(rates) for rates in zip(*rounds))
            row(f"Unprotected and first 4 KiB writes, depth 16, {name} (`penalty.py`)",
                f"{median(plain):,.0f}/s, {median(first):,.0f}/s",
                f"{median(their_plain):,.0f}/s, {median(their_first):,.0f}/s: QEMU copy-before-write",
                f"penalty {ratio(plain, first):.2f}; QEMU {ratio(their_plain, their_first):.2f}")
    pathlib.Path(nbdw).unlink()


main()
