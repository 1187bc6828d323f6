#!/usr/bin/python3
"""First and second writes to a track after a backup, over NBD: 4 KiB (each track once, in random order)
and 64 KiB, at depth 16; beside QEMU's copy-before-write filter on a file of the same size. Interleaved.

  first_write.py [MIB 1024] [ROUNDS 3]
"""
import os, pathlib, shutil, subprocess, sys, tempfile, time
from bench_site import Site, compile_c, median, free_port, HERE
from qemu import StorageDaemon

mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3


def passes(nbdw, size, where):
    lines = subprocess.check_output([nbdw, *where, "-b", str(size), "-q", "16", "-n", "2"], text=True).splitlines()
    return [float(line.split("writes/s")[1].split()[0]) for line in lines if line.startswith("pass")]


def fill(uri):
    subprocess.run(f"head -c {mib << 20} /dev/urandom | nbdcopy --flush - '{uri}'", shell=True, check=True)


def ours(nbdw, site, size):
    site.send("Backup", "p")
    return passes(nbdw, size, ["-p", str(site.nbd), "-e", "box1:0100"])


def peer(nbdw, place, raw, size):
    target = place / "t.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(target), f"{mib}M"], check=True)
    port = free_port()
    daemon = StorageDaemon([
        "--blockdev", f"driver=file,node-name=src,filename={raw},cache.direct=on,aio=io_uring",
        "--blockdev", f"driver=qcow2,node-name=tgt,file.driver=file,file.filename={target},"
                      "file.cache.direct=on,file.aio=io_uring",
        "--blockdev", "driver=copy-before-write,node-name=cbw,file=src,target=tgt",
        "--nbd-server", f"addr.type=inet,addr.host=127.0.0.1,addr.port={port}",
        "--export", "type=nbd,id=e,node-name=cbw,name=x,writable=on"], place)
    try:
        return passes(nbdw, size, ["-p", str(port), "-e", "x"])
    finally:
        daemon.close()
        target.unlink()


def main():
    nbdw = compile_c(HERE / "clients/nbdw.c", "-lnbd")
    site, place = Site(), pathlib.Path(tempfile.mkdtemp(prefix="cbw.", dir=Site.place()))
    try:
        site.start()
        site.send("CreateVolumes", "box1", 'volumes=[{"id":"0100","capacity":"%dMiB","safeguardedMultiplier":100}]' % mib)
        site.send("CreateSession", "p", "type=SafeguardedCopy")
        site.send("AddCopySets", "p", 'copySets=[{"H1":"box1:0100"}]')
        fill(f"nbd://127.0.0.1:{site.nbd}/box1%3A0100")
        raw = place / "n.raw"
        subprocess.run(f"head -c {mib << 20} /dev/urandom > {raw}; sync {raw}", shell=True, check=True)
        for size in (4096, 65536):
            mine, theirs = [], []
            for _ in range(rounds):
                mine.append(ours(nbdw, site, size))
                theirs.append(peer(nbdw, place, raw, size))
            first, second = (median([m[i] for m in mine]) for i in (0, 1))
            qfirst, qsecond = (median([t[i] for t in theirs]) for i in (0, 1))
            ratio = median([m[0] / t[0] for m, t in zip(mine, theirs)])
            print(f"{size // 1024} KiB: first {first:.0f}/s, second {second:.0f}/s; QEMU first {qfirst:.0f}/s, "
                  f"second {qsecond:.0f}/s; first writes ratio {ratio:.2f}", flush=True)
    finally:
        site.close()
        shutil.rmtree(place, ignore_errors=True)


main()
