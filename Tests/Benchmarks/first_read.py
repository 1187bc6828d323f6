#!/usr/bin/python3
"""The first read from a recovered volume: from the Recover command to data in the host's hands, for
volumes of 64 MiB, 1 GiB and 10 GiB. NBD connection included.

  first_read.py [ROUNDS 5]
"""
import sys, time
import nbd
from bench_site import Site, median

rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5


def read_first(site, volume, offset):
    began = time.monotonic()
    handle = nbd.NBD()
    handle.connect_uri(f"nbd://127.0.0.1:{site.nbd}/box1%3A{volume}")
    connected = time.monotonic()
    handle.pread(4096, offset)
    return (time.monotonic() - connected) * 1000, (time.monotonic() - began) * 1000


def main():
    site = Site()
    try:
        site.start()
        for number, (name, size) in enumerate({"64MiB": 64 << 20, "1GiB": 1 << 30, "10GiB": 10 << 30}.items()):
            h1, r1, session = f"01{number:02x}", f"02{number:02x}", f"s{number}"
            site.send("CreateVolumes", "box1", 'volumes=[{"id":"%s","capacity":"%s","safeguardedMultiplier":4},'
                      '{"id":"%s","capacity":"%s"}]' % (h1, name, r1, name))
            site.send("CreateSession", session, "type=SafeguardedCopy")
            site.send("AddCopySets", session, 'copySets=[{"H1":"box1:%s","R1":"box1:%s"}]' % (h1, r1))
            host = nbd.NBD()
            host.connect_uri(f"nbd://127.0.0.1:{site.nbd}/box1%3A{h1}")
            for offset in range(0, size, size // 64):
                host.pwrite(b"a" * 65536, offset)
            host.flush()
            reads, whole, commands = [], [], []
            for round_ in range(rounds):
                backup = site.send("Backup", session)["result"]["backupId"]
                host.pwrite(b"b" * 65536, (size // 64) * round_)
                outcome = site.send("Recover", session, f"backupId={backup}")
                first, all_ = read_first(site, r1, size // 2)
                reads.append(first)
                whole.append(all_)
                from datetime import datetime
                times = [datetime.fromisoformat(outcome[k]).timestamp() for k in ("startedAt", "finishedAt")]
                commands.append((times[1] - times[0]) * 1000)
                site.send("TerminateH1R1", session)
            print(f"{name:>6}: first read {median(reads):.2f} ms, with the connection {median(whole):.2f} ms, "
                  f"Recover itself {median(commands):.0f} ms", flush=True)
    finally:
        site.close()


main()
