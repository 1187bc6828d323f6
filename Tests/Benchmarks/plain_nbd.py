#!/usr/bin/python3
"""A plain volume over NBD: 4 KiB at random places, depth 32, and 64 KiB, depth 16, read and written; beside
qemu-nbd on a raw file (no cache, io_uring) and nbdkit's file plug-in (page cache). All over TCP.

  plain_nbd.py [--quick] [--rounds 5] [--mebibytes 2048]
"""
import subprocess
from bench_site import Site
from measure import Options, Place, Server, fio, median, random_file, ratio, row, warm

options = Options()


def main():
    site = Site()
    try:
        site.start()
        site.send("CreateVolumes", "box1", 'volumes=[{"id":"0100","capacity":"%dMiB"}]' % options.mebibytes)
        with Place() as place:
            files = [place / "qemu.raw", place / "nbdkit.raw"]
            for file in files:
                random_file(file, options.mebibytes)
            ours = f"nbd://127.0.0.1:{site.nbd}/box1%3A0100"
            subprocess.run(["nbdcopy", "--flush", str(files[0]), ours], check=True)
            peers = [Server.qemu(files[0]), Server.nbdkit(files[1])]
            try:
                measure([ours] + [peer.uri for peer in peers])
            finally:
                for peer in peers:
                    peer.close()
    finally:
        site.close()


def measure(uris):
    warm(options.mebibytes * 2)
    for rw in ("randread", "randwrite"):  # not counted: what is cached is in the cache then
        fio(uris[2], rw, "64k", 16, options.seconds)
    for block, depth in (("4k", 32), ("64k", 16)):
        for rw in ("randread", "randwrite"):
            rounds = [[fio(uri, rw, block, depth, options.seconds) for uri in uris] for _ in range(options.rounds)]
            ours, qemu, nbdkit = (list(rates) for rates in zip(*rounds))
            row(f"Plain volume over NBD: {block} {rw}, depth {depth} (`plain_nbd.py`)", f"{median(ours):,.0f}/s",
                f"{median(qemu):,.0f}/s: qemu-nbd; {median(nbdkit):,.0f}/s: nbdkit file",
                f"{ratio(ours, qemu):.2f}; {ratio(ours, nbdkit):.2f}")


main()
