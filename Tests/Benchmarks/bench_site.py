"""A private broker and a worker for benchmarks: loopback, a directory of their own, ended by pid."""
import json, os, pathlib, random, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BINARY = os.environ.get("STILLPOINT_BINARY", str(ROOT / ".build/release/stillpoint"))


def free_port():
    """Below the range that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def compile_c(source, *libraries):
    output = pathlib.Path(tempfile.gettempdir()) / f"stillpoint-bench-{os.getpid()}-{source.stem}"
    subprocess.run(["cc", "-O2", "-o", str(output), str(source), *libraries], check=True)
    return str(output)


class Refused(RuntimeError):
    """The worker does not start, with what it says."""


class Site:
    def __init__(self, partitions=8, directory=None, storage=()):
        """`storage`: more lines of the storage's configuration, e.g. "journal: off"."""
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=directory or self.place()))
        self.nbd, self.http = free_port(), free_port()
        broker = str(ROOT / "deploy/private-broker")
        self.broker = broker
        subprocess.run([broker, "start", str(self.directory / "broker")], check=True, stdout=subprocess.DEVNULL)
        self.uri = subprocess.check_output([broker, "uri", str(self.directory / "broker")], text=True).strip()
        self.config = self.directory / "stillpoint.yaml"
        self.config.write_text(
            f"instance: bench\nbroker:\n  uri: {self.uri}\n  partitions: {partitions}\n"
            f"store:\n  sqlite: {self.directory}/store/s.sqlite\nstorage:\n  box1:\n    path: {self.directory}/box1\n"
            + "".join(f"    {line}\n" for line in storage) +
            f"nbd:\n  listen: 127.0.0.1:{self.nbd}\nhttp:\n  listen: 127.0.0.1:{self.http}\n")
        self.worker = None

    @staticmethod
    def place():
        place = ROOT / "var"
        place.mkdir(exist_ok=True)
        return place

    @property
    def port(self):
        return int(self.uri.rsplit(":", 1)[1].split("/")[0])

    def start(self):
        log = open(self.directory / "worker.log", "ab")
        self.worker = subprocess.Popen([BINARY, "worker", "--config", str(self.config)], stderr=log)
        self.until(lambda: self.get("/readyz") is not None or self.worker.poll() is not None, 60)
        if self.worker.poll() is not None:
            raise Refused((self.directory / "worker.log").read_text()[-2000:])

    def stop(self):
        if self.worker:
            if self.worker.poll() is None:
                self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(60)
            self.worker = None

    def close(self):
        self.stop()
        subprocess.run([self.broker, "stop", str(self.directory / "broker")], stdout=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def get(self, path):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=2).read().decode()
        except OSError:
            return None

    def metric(self, name):
        for line in (self.get("/metrics") or "").splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def until(self, condition, seconds, pause=0.02):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(pause)
        raise TimeoutError("waited in vain: " + (self.directory / "worker.log").read_text()[-2000:])

    def send(self, command, target, *parameters):
        words = [BINARY, "send", command, target, "--config", str(self.config), "--output", "json", "--timeout", "600"]
        for parameter in parameters:
            words += ["--parameter", parameter]
        answer = subprocess.run(words, stdout=subprocess.PIPE, text=True)
        if answer.returncode:
            raise RuntimeError(answer.stdout)
        return json.loads(answer.stdout)


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
