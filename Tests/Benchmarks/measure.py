"""What the engine's benchmarks share: options, rows of a Markdown table, fio, peers, warm memory.

Two traps of shared machines are kept out of the figures. Memory that was freed long ago is slow to touch
for the first time, so as much as a round needs is touched before it; and whatever can, uses O_DIRECT. Ours
and the peers take turns within one run, and what is told are medians and the median of the rounds' ratios.
"""
import argparse, json, mmap, os, pathlib, shutil, subprocess, tempfile, time
from bench_site import BINARY, ROOT, Site, free_port, median

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it work at all?")
parser.add_argument("--rounds", type=int, help="default 5")
parser.add_argument("--mebibytes", type=int, help="size of the volumes")


class Options:
    def __init__(self, mebibytes=2048, quick_mebibytes=64):
        self.words = parser.parse_args()
        self.quick = self.words.quick
        self.rounds = self.words.rounds or (1 if self.quick else 5)
        self.mebibytes = self.words.mebibytes or (quick_mebibytes if self.quick else mebibytes)
        self.seconds = 1 if self.quick else 4


def row(what, ours, peers, ratio=""):
    """A row of the table that `run_engine.sh` puts together."""
    print(f"| {what} | {ours} | {peers} | {ratio} |", flush=True)


def ratio(ours, theirs):
    """The median of the rounds' own ratios."""
    return median([a / b for a, b in zip(ours, theirs)]) if theirs and all(theirs) else float("nan")


def warm(mebibytes):
    """Touches so much memory, at most half of what is free, so that the page cache gets warm pages."""
    free = int(next(l for l in open("/proc/meminfo") if l.startswith("MemAvailable")).split()[1]) // 1024
    size = min(mebibytes, free // 2) << 20
    with mmap.mmap(-1, size) as memory:
        for place in range(0, size, 4096):
            memory[place] = 1


def fio(uri, rw, block, depth, seconds, size=None):
    """Requests a second of a host over NBD."""
    words = ["fio", "--name=j", "--ioengine=nbd", f"--uri={uri}", f"--rw={rw}", f"--bs={block}", f"--iodepth={depth}",
             f"--runtime={seconds}", "--time_based", "--norandommap=1", "--randrepeat=0", "--output-format=json"]
    if size:
        words.append(f"--size={size}")
    with tempfile.TemporaryDirectory() as place:
        out = subprocess.check_output(words, cwd=place, text=True, stderr=subprocess.DEVNULL)
    job = json.loads(out[out.index("{"):])["jobs"][0]
    return job["read" if "read" in rw else "write"]["iops"]


def random_file(path, mebibytes):
    with open(path, "wb") as file, open("/dev/urandom", "rb") as source:
        for _ in range(mebibytes):
            file.write(source.read(1 << 20))
        os.fsync(file.fileno())


class Place:
    """A directory that goes with the benchmark."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="engine.", dir=Site.place()))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Server:
    """A peer's NBD server on a TCP port of its own; ended by pid."""

    def __init__(self, words, port):
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.uri = f"nbd://127.0.0.1:{port}/"
        for _ in range(500):
            if subprocess.run(["nbdinfo", "--size", self.uri], capture_output=True).returncode == 0:
                return
            time.sleep(0.02)
        raise TimeoutError(words[0])

    @classmethod
    def qemu(cls, path):
        port = free_port()
        return cls(["qemu-nbd", "-f", "raw", "-b", "127.0.0.1", "-p", str(port), "-t", "-e", "8", "--cache=none",
                    "--aio=io_uring", str(path)], port)

    @classmethod
    def nbdkit(cls, path):
        port = free_port()
        return cls(["nbdkit", "-f", "-i", "127.0.0.1", "-p", str(port), "-t", "8", "file", str(path)], port)

    def close(self):
        self.process.terminate()
        self.process.wait(20)


class Engine:
    """The engine alone, in `engine-bench`: does what it is told, and says how long that took."""

    def __init__(self, part, directory, *words):
        program = os.environ.get("STILLPOINT_ENGINE_BENCH", str(pathlib.Path(BINARY).parent / "engine-bench"))
        self.process = subprocess.Popen([program, "--part", part, "--directory", str(directory), *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.line() == "ready"

    def line(self):
        text = self.process.stdout.readline().strip()
        if not text or text.startswith("failed"):
            raise RuntimeError(text or "engine-bench has ended")
        return text

    def tell(self, command):
        """(seconds, bytes)"""
        print(command, file=self.process.stdin, flush=True)
        words = self.line().split()
        return float(words[1]), int(words[2])

    def close(self):
        if self.process.poll() is None:
            print("quit", file=self.process.stdin, flush=True)
        self.process.wait(120)
