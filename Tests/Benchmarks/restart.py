#!/usr/bin/python3
"""How long a start takes: of the engine with an index of ten million saved entries, with the memory it has then; and of
a worker that was killed under load, from the start of its process to a host's first read.

  restart.py [--quick] [--rounds 5] [--mebibytes 1024]
"""
import os, pathlib, signal, subprocess, time
import nbd
from bench_site import BINARY, HERE, Site, compile_c
from measure import Options, Place, median, row

options = Options(mebibytes=1024)
ENTRIES = 100_000 if options.quick else 10_000_000
BENCH = os.environ.get("STILLPOINT_ENGINE_BENCH", str(pathlib.Path(BINARY).parent / "engine-bench"))


def index():
    with Place() as place:
        words = [BENCH, "--directory", str(place / "engine"), "--entries", str(ENTRIES), "--part"]
        subprocess.run(words + ["fill-index"], check=True, stdout=subprocess.DEVNULL)
        opened, resident, anonymous = [], [], []
        for _ in range(options.rounds):
            line = subprocess.check_output(words + ["open-index"], text=True)
            print(line.strip())
            parts = line.replace(",", "").split()
            if int(parts[parts.index("failed") - 1]):
                raise RuntimeError("reads failed: " + line)
            opened.append(float(parts[1]))
            resident.append(int(parts[parts.index("resident") + 1]) / 1024)
            anonymous.append(int(parts[parts.index("anonymous") + 1]) / 1024)
        row(f"Start of the engine with {ENTRIES:,} saved entries of 500 backups (`restart.py`)",
            f"{median(opened) * 1000:,.0f} ms, {median(resident):,.0f} MiB resident, {median(anonymous):,.0f} MiB of it "
            "anonymous", "–", "")


def killed():
    nbdw = compile_c(HERE / "clients/nbdw.c", "-lnbd")
    site = Site()
    try:
        site.start()
        site.send("CreateVolumes", "box1",
                  'volumes=[{"id":"0100","capacity":"%dMiB","safeguardedMultiplier":100}]' % options.mebibytes)
        site.send("CreateSession", "p", "type=SafeguardedCopy")
        site.send("AddCopySets", "p", 'copySets=[{"H1":"box1:0100"}]')
        seconds = []
        for _ in range(options.rounds):
            site.send("Backup", "p")
            load = subprocess.Popen([nbdw, "-p", str(site.nbd), "-e", "box1:0100", "-q", "16", "-n", "1000"],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1 if options.quick else 5)
            site.worker.send_signal(signal.SIGKILL)
            site.worker.wait()
            load.wait()
            seconds.append(start(site))
            site.until(lambda: site.get("/readyz") is not None, 60)
        row("Start after SIGKILL under load, until a host's first read (`restart.py`)",
            f"{median(seconds) * 1000:,.0f} ms", "–", "")
    finally:
        site.close()
        pathlib.Path(nbdw).unlink()


def start(site):
    began = time.monotonic()
    log = open(site.directory / "worker.log", "ab")
    site.worker = subprocess.Popen([BINARY, "worker", "--config", str(site.config)], stderr=log)
    while True:
        host = nbd.NBD()
        try:
            host.connect_uri(f"nbd://127.0.0.1:{site.nbd}/box1%3A0100")
            host.pread(4096, 0)
            return time.monotonic() - began
        except nbd.Error:
            if time.monotonic() - began > 120 or site.worker.poll() is not None:
                raise
            time.sleep(0.002)


index()
killed()
