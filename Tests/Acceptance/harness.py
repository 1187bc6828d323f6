"""A site of the tests' own: private broker, worker, clients; on loopback, all ended by pid."""

import atexit
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import yaml

from clients import EventLog, Host, HostLost, Refused, Scheduler, export_names
from waiting import Deadline, TooLate, wait_until

__all__ = [
    "Broker", "Deadline", "EventLog", "Host", "HostLost", "Refused", "Scheduler", "Site",
    "SiteCase", "TooLate", "Worker", "binary", "clean_environment", "export_names", "free_port",
    "shared_site", "stop_everything", "stop_shared_site", "wait_until"]

ROOT = pathlib.Path(__file__).resolve().parents[2]
_RUNNING = []


def binary():
    """The executable under test."""
    named = os.environ.get("STILLPOINT_BINARY")
    places = [named] if named else [
        ROOT / ".build/release/stillpoint", ROOT / ".build/debug/stillpoint"]
    for place in places:
        if os.access(place, os.X_OK):
            return str(place)
    raise SystemExit(f"no executable at {places}: build it, or set STILLPOINT_BINARY")


def stop_everything():
    """Ends, by pid, whatever this process started and has not ended."""
    while _RUNNING:
        _RUNNING.pop().kill()


atexit.register(stop_everything)


def free_port():
    """A port below those that the kernel gives to outgoing connections."""
    for port in iter(lambda: 10000 + int.from_bytes(os.urandom(2), "big") % 10000, None):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


# Whether the storage has a write journal: on or off. In quotes, as YAML 1.1 would take them for truth values.
JOURNAL = os.environ.get("STILLPOINT_JOURNAL", "on")


def clean_environment(**more):
    """Our environment without anything that would configure a worker."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("STILLPOINT_") and key != "NOTIFY_SOCKET"}
    return kept | more


class Broker:
    """A RabbitMQ node, started by deploy/private-broker."""

    SCRIPT = str(ROOT / "deploy/private-broker")

    def __init__(self, directory):
        self.directory = str(directory)
        self.uri = None

    def _run(self, verb, *arguments, seconds=120):
        done = subprocess.run(
            [self.SCRIPT, verb, self.directory, *arguments], capture_output=True, text=True,
            timeout=seconds, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"private-broker {verb}: {done.stderr}{done.stdout}")
        return done.stdout

    def start(self):
        if self not in _RUNNING:
            _RUNNING.append(self)
        self._run("start")
        self.uri = self._run("uri").strip()

    def stop(self):
        self._run("stop")

    def kill(self):
        """As a power cut would; `start` brings it back."""
        self._run("kill")

    def control(self, *arguments):
        return self._run("ctl", *arguments)


class Worker:
    """`stillpoint worker` with a configuration file of its own."""

    def __init__(self, directory, broker_uri, prefix="stillpoint", environment=None, **changes):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.nbd_port, self.http_port = free_port(), free_port()
        self.configuration = {
            "instance": "acceptance",
            "broker": {"uri": broker_uri, "prefix": prefix, "partitions": 4},
            "store": {"sqlite": str(self.directory / "stillpoint.sqlite")},
            "storage": {"box1": {"path": str(self.directory / "box1"), "journal": JOURNAL}},
            "nbd": {"listen": f"127.0.0.1:{self.nbd_port}"},
            "http": {"listen": f"127.0.0.1:{self.http_port}"},
        } | changes
        self.environment = environment or {}
        self.errors = self.directory / "worker.log"
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def configure(self):
        """Writes the configuration file."""
        file = self.directory / "stillpoint.yaml"
        file.write_text(yaml.safe_dump(self.configuration), encoding="utf-8")
        return file

    def launch(self, *arguments):
        """Starts the process and does not wait for it."""
        file = self.configure()
        arguments = arguments or ("worker", "--config", str(file))
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [binary(), *arguments], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors, env=clean_environment(**self.environment))
        if self not in _RUNNING:
            _RUNNING.append(self)

    def start(self, seconds=30):
        """Starts it and waits until it takes commands."""
        self.launch()
        self.wait_ready(seconds)

    def wait_ready(self, seconds=30):
        try:
            wait_until(self.is_ready, seconds, "/readyz says 200")
        except TooLate as late:
            raise TooLate(f"{late}; it says {self.page('readyz')}\n{self.tail()}") from late

    def wait_unready(self, seconds=30):
        wait_until(lambda: self.page("readyz")[0] == 503, seconds, "/readyz says 503")

    def is_ready(self):
        self.check_alive()
        return self.page("readyz")[0] == 200

    def page(self, path):
        """(status, text) of a page; (0, reason) while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", f"/{path}")
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def check_alive(self):
        """Raises where the process has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the worker ended: {self.process.returncode}\n{self.tail()}")

    def tail(self, lines=15):
        """The end of what it wrote to standard error."""
        if not self.errors.exists():
            return ""
        text = self.errors.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def terminate(self, seconds=30):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=30):
        """Waits for the end and returns the exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise TooLate(f"the worker did not end within {seconds} s\n{self.tail()}") from late
        self.process = None
        return status

    def kill(self):
        """SIGKILL, where it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self.process = None

    def restart(self):
        """SIGTERM and a new start; the exit status has to be 0."""
        status = self.terminate()
        if status != 0:
            raise AssertionError(f"SIGTERM ended the worker with {status}\n{self.tail()}")
        self.start()


class Site:
    """A broker, a worker, and volumes and sessions by the dozen."""

    def __init__(self, **changes):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="stillpoint-acceptance-"))
        self.broker = Broker(self.directory / "broker")
        self.changes = changes
        self.worker = None
        self.scheduler = None
        self.log = None
        self._numbers = iter(range(0x100, 0xffff))
        self._names = iter(range(1, 100_000))

    def start(self):
        atexit.register(self.stop)
        self.broker.start()
        self.worker = Worker(self.directory / "site", self.broker.uri, **self.changes)
        self.worker.start()
        self.scheduler = self.new_scheduler()
        self.log = self.new_log()
        return self

    def stop(self):
        """Ends both processes and removes the directory."""
        atexit.unregister(self.stop)
        for client in (self.scheduler, self.log):
            if client is not None:
                client.close()
        for process in (self.worker, self.broker):
            if process is not None:
                process.kill()
                if process in _RUNNING:
                    _RUNNING.remove(process)
        if os.environ.get("STILLPOINT_KEEP"):
            print(f"kept: {self.directory}", flush=True)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def new_scheduler(self, reply_queue=None):
        return Scheduler(self.broker.uri, reply_queue=reply_queue, alive=self.worker.check_alive)

    def new_log(self, **options):
        return EventLog(self.broker.uri, **options)

    def host(self, export, **options):
        return Host(self.worker.nbd_port, export, **options)

    def volumes(self, count, capacity="4MiB", multiplier=16):
        """Creates volumes and returns their full names."""
        ids = [f"{next(self._numbers):04x}" for _ in range(count)]
        entries = [{"id": id, "capacity": capacity} for id in ids]
        for entry in entries:
            if multiplier:
                entry["safeguardedMultiplier"] = multiplier
        self.scheduler.done("CreateVolumes", storage="box1", parameters={"volumes": entries})
        return [f"box1:{id}" for id in ids]

    def name(self, stem):
        """A session's name that no other test has."""
        return f"{stem}-{next(self._names)}"

    def session(self, stem="session", sets=1, capacity="4MiB", multiplier=16, options=None):
        """A session with copy sets: (name, [H1 …], [R1 …])."""
        name = self.name(stem)
        parameters = {"type": "SafeguardedCopy"} | ({"options": options} if options else {})
        self.scheduler.done("CreateSession", session=name, parameters=parameters)
        if not sets:
            return name, [], []
        sources = self.volumes(sets, capacity, multiplier)
        targets = self.volumes(sets, capacity, 0)
        pairs = [{"H1": h1, "R1": r1} for h1, r1 in zip(sources, targets)]
        self.scheduler.done("AddCopySets", session=name, parameters={"copySets": pairs})
        return name, sources, targets

    def backup(self, session):
        return self.scheduler.done("Backup", session=session)["backupId"]

    def storage(self):
        """Every volume of box1 by its full name."""
        volumes = self.scheduler.done("DescribeStorage", storage="box1")["volumes"]
        return {f"box1:{volume['id']}": volume for volume in volumes}


_SHARED = []


def shared_site():
    """One site for all suites that leave it as it was: its broker takes seconds to start."""
    if not _SHARED:
        _SHARED.append(Site().start())
    return _SHARED[0]


def stop_shared_site():
    """Takes the shared site down, where there is one."""
    while _SHARED:
        _SHARED.pop().stop()


class SiteCase(unittest.TestCase):
    """A test on its module's site; shows the end of the worker's log where it fails."""

    site = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if cls.site is None:
            SiteCase.site = shared_site()

    @property
    def scheduler(self):
        return self.site.scheduler

    @property
    def log(self):
        return self.site.log

    def tearDown(self):
        result = self._outcome.result
        troubles = getattr(result, "failures", []) + getattr(result, "errors", [])
        if any(case is self for case, _ in troubles) and self.site.worker is not None:
            words = self.site.worker.tail()
            print(f"--- {self.id()}: the worker's last words\n{words}", flush=True)
