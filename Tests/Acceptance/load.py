"""The load under which worker and broker are killed: hosts that write, schedulers that command.

Every thread here goes on as a client in the field would: a lost connection is made again, what was
not acknowledged is done again, a command whose answer does not come is sent again with its id.
"""

import threading
import time
import uuid

import pika.exceptions

from clients import Host, HostLost, Scheduler
from model import SECTOR, Model, content, find_instant
from waiting import Deadline

PATIENCE = 120
CAPACITY = 1 << 20
MULTIPLIER = 2000
RESEND_AFTER = 20


class Crew:
    """Threads that run until told to stop; the first exception of any of them is kept."""

    def __init__(self):
        self.stopping = threading.Event()
        self.published = threading.Event()
        self.failure = None
        self.threads = []

    def add(self, body):
        thread = threading.Thread(target=self._run, args=(body,), daemon=True)
        self.threads.append(thread)

    def _run(self, body):
        try:
            body()
        except BaseException as error:  # Whatever it is, the test must hear of it.
            self.failure = self.failure or error
            self.stopping.set()

    def start(self):
        for thread in self.threads:
            thread.start()

    def check(self):
        """Raises what a thread has raised."""
        if self.failure is not None:
            raise self.failure

    def stop(self):
        """Lets every thread finish what it is at."""
        self.stopping.set()
        deadline = Deadline(PATIENCE, "the load has finished what it was at")
        for thread in self.threads:
            thread.join(deadline.left())
        self.check()


class Volume:
    """An export that is opened again whenever it was lost."""

    def __init__(self, port, export):
        self.port = port
        self.export = export
        self.host = None

    def use(self, body, on_return=None):
        """`body(host)`, again and again until it was not interrupted."""
        deadline = Deadline(PATIENCE, f"{self.export} can be used")
        while True:
            try:
                if self.host is None:
                    self.host = Host(self.port, self.export)
                    if on_return:
                        on_return()
                return body(self.host)
            except HostLost:
                self.host = None
                deadline.left()
                time.sleep(0.01)

    def read(self):
        return self.use(lambda host: host.read())

    def close(self):
        if self.host is not None:
            self.host.close()


class Writer:
    """A host that writes step after step to the volumes of a session, and checks what it finds."""

    def __init__(self, port, h1s, chooser, crew):
        self.model = Model(len(h1s), CAPACITY)
        self.volumes = [Volume(port, h1) for h1 in h1s]
        self.readers = [Volume(port, h1) for h1 in h1s]
        self.chooser = chooser
        self.crew = crew
        self.checks = 0

    def run(self):
        while not self.crew.stopping.is_set():
            self.step()
            self.crew.stopping.wait(self.chooser.uniform(0, 0.04))

    def step(self):
        ranges = self.choose_ranges()
        fua = len(ranges) == 1 and self.chooser.random() < 0.7
        step = self.model.begin(
            self.chooser.randrange(len(self.volumes)), ranges, self.chooser.random() < 0.15, fua)
        volume = self.volumes[step.volume]
        volume.use(lambda host: self.perform(host, step), on_return=self.check_after_return)
        self.model.settle(step)

    def choose_ranges(self):
        """One to three ranges, each in a third of the volume of its own."""
        third = self.model.sectors // 3
        ranges = []
        for part in range(self.chooser.choice((1, 1, 2, 3))):
            count = self.chooser.choice((1, 3, 8, 8, 8, 16, 140))
            first = self.chooser.randrange(third - count)
            if count % 8 == 0:
                first -= first % 8
            ranges.append((part * third + first, count))
        return ranges

    @staticmethod
    def perform(host, step):
        for first, count in step.ranges:
            if step.zero:
                host.zero(first * SECTOR, count * SECTOR, fua=step.fua)
            else:
                data = b"".join(
                    content(step.volume, sector, step) for sector in range(first, first + count))
                host.write(data, first * SECTOR, fua=step.fua)
        if not step.fua:
            host.flush()

    def check_after_return(self):
        """After a new connection: what was durable is there, and nothing that was never written."""
        images = [reader.read() for reader in self.readers]
        find_instant(self.model, images, self.model.snapshot(), self.model.begun())
        self.checks += 1

    def check_at_rest(self):
        """With no step under way the volumes hold exactly what was written."""
        images = [reader.read() for reader in self.readers]
        for volume, (found, expected) in enumerate(zip(images, self.model.expected())):
            if found != expected:
                find_instant(self.model, images, self.model.snapshot(), self.model.begun())
                raise AssertionError(f"volume {volume} is not what was written")


class Commander:
    """A scheduler that gets every command through, and remembers what came of it."""

    def __init__(self, uri, crew, chooser, subject):
        self.uri = uri
        self.crew = crew
        self.chooser = chooser
        self.subject = subject
        self.queue = f"replies-{subject}-{uuid.uuid4()}"
        self.scheduler = None
        self.sent = {}
        self.replies = {}

    def connected(self):
        if self.scheduler is None:
            self.scheduler = Scheduler(self.uri, reply_queue=self.queue)
            self.scheduler.replies = self.replies
        return self.scheduler

    def lose(self):
        if self.scheduler is not None:
            self.scheduler.close()
        self.scheduler = None

    def attempt(self, arguments, wanted):
        """Sends it and waits a while; the reply, or None where it has to be sent again."""
        try:
            scheduler = self.connected()
            id = scheduler.send(**arguments)
            self.crew.published.set()
            deadline = time.monotonic() + RESEND_AFTER
            while time.monotonic() < deadline:
                for reply in self.replies.get(id, []):
                    if wanted(reply):
                        return reply
                scheduler.connection.process_data_events(0.2)
        except (pika.exceptions.AMQPError, OSError):
            self.lose()
            time.sleep(0.1)
        return None

    def outcome(self, command, parameters=None, expected="completed", **target):
        """The outcome of a command, however often it takes; now and then it is sent once more."""
        id = f"{self.subject} {len(self.sent)} {command}"
        arguments = {"command": command, "parameters": parameters, "id": id} | (
            target or {"session": self.subject})
        self.sent[id] = command, target.get("storage") or target.get("session") or self.subject
        outcome = self.surely(arguments, lambda reply: True)
        if outcome["outcome"] != expected:
            raise AssertionError(f"{id} {parameters}: {outcome}")
        if self.chooser.random() < 0.1:
            repeat = self.surely(arguments, lambda reply: reply["duplicate"])
            if repeat | {"duplicate": outcome["duplicate"]} != outcome:
                raise AssertionError(f"the repeat of {id} was answered {repeat}, not {outcome}")
        return outcome

    def surely(self, arguments, wanted):
        deadline = Deadline(PATIENCE, f"an answer to {arguments}")
        while True:
            reply = self.attempt(arguments, wanted)
            if reply is not None:
                return reply
            deadline.left()

    def done(self, command, parameters=None, **target):
        return self.outcome(command, parameters, **target)["result"]

    def close(self):
        if self.scheduler is not None and self.scheduler.connection.is_open:
            self.scheduler.channel.queue_delete(self.queue)
        self.lose()


class Taken:
    """A backup, and what it may and does hold."""

    def __init__(self, id, snapshot, upto):
        self.id = id
        self.snapshot = snapshot
        self.upto = upto
        self.images = None


class Driver:
    """Commands one session in every way there is, and checks everything that it can see."""

    def __init__(self, site, crew, chooser, name, h1s, r1s):
        self.port = site.worker.nbd_port
        self.crew = crew
        self.chooser = chooser
        self.name = name
        self.h1s, self.r1s = h1s, r1s
        self.writer = Writer(self.port, h1s, chooser.__class__(chooser.random()), crew)
        self.commander = Commander(site.broker.uri, crew, chooser, name)
        self.backups = []
        self.made = []
        self.expired = []
        self.recovered = None
        self.targets = None
        self.copying = False
        self.reads = 0

    def run(self):
        actions = (
            (self.take_backup, 6), (self.read_backup, 4), (self.recover, 2), (self.copy, 2),
            (self.write_targets, 2), (self.finish_copy, 1), (self.withdraw, 1), (self.expire, 2),
            (self.look, 2), (self.refresh, 1), (self.ask_nonsense, 1))
        while not self.crew.stopping.is_set():
            action, = self.chooser.choices(
                [action for action, _ in actions], [weight for _, weight in actions])
            action()

    def take_backup(self):
        snapshot = self.writer.model.snapshot()
        result = self.commander.done("Backup")
        if self.made and int(result["backupId"]) <= int(self.made[-1]):
            raise AssertionError(f"backup {result['backupId']} came after {self.made[-1]}")
        self.made.append(result["backupId"])
        self.backups.append(Taken(result["backupId"], snapshot, self.writer.model.begun()))

    def read_backup(self):
        if self.backups:
            self.verify(self.chooser.choice(self.backups))

    def verify(self, taken):
        """Its volumes show one instant of those it may; and ever after, the same bytes."""
        images = [Volume(self.port, f"{self.name}/{taken.id}/{h1}").read() for h1 in self.h1s]
        self.reads += 1
        if taken.images is None:
            find_instant(self.writer.model, images, taken.snapshot, taken.upto)
            taken.images = images
            taken.snapshot = None
        if images != taken.images:
            raise AssertionError(f"backup {taken.id} of {self.name} has changed")

    def recover(self):
        if self.recovered is not None or not self.backups:
            return
        taken = self.chooser.choice(self.backups)
        self.verify(taken)
        self.copying = self.chooser.random() < 0.5
        self.commander.done("Recover", {"backupId": taken.id, "backgroundCopy": self.copying})
        self.recovered = taken
        self.targets = [bytearray(image) for image in taken.images]
        self.check_targets()

    def check_targets(self):
        for r1, expected in zip(self.r1s, self.targets):
            if Volume(self.port, r1).read() != bytes(expected):
                raise AssertionError(
                    f"{r1} of {self.name} is not backup {self.recovered.id} with the writes to it")

    def write_targets(self):
        if self.recovered is None:
            return
        for _ in range(5):
            index = self.chooser.randrange(len(self.r1s))
            length = self.chooser.choice((1, 512, 4096, 5000, 66_000))
            offset = self.chooser.randrange(CAPACITY - length)
            data = self.chooser.randbytes(length)
            volume = Volume(self.port, self.r1s[index])
            volume.use(lambda host: host.write(data, offset, fua=True))
            volume.close()
            self.targets[index][offset:offset + length] = data
        self.check_targets()

    def copy(self):
        if self.recovered is not None and not self.copying:
            self.commander.done("InitiateBackgroundCopy")
            self.copying = True

    def finish_copy(self):
        """Waits for the end of a background copy; then the targets stand on their own."""
        if self.recovered is None or not self.copying:
            return
        deadline = Deadline(PATIENCE, f"the background copy of {self.name} ends")
        while any(p["tracksRemaining"] for p in self.describe()["pairs"]):
            self.crew.stopping.wait(0.2)
            deadline.left()
        self.check_targets()
        self.commander.done("TerminateH1R1")
        self.check_targets()
        self.recovered = None

    def withdraw(self):
        if self.recovered is not None:
            self.commander.done("TerminateH1R1")
            self.recovered = None

    def expire(self):
        free = [taken for taken in self.backups
                if self.recovered is None or int(taken.id) < int(self.recovered.id)]
        if len(free) < 3:
            return
        last = self.chooser.choice(free[:len(free) // 2 + 1])
        gone = [taken.id for taken in free if int(taken.id) <= int(last.id)]
        result = self.commander.done("ExpireBackup", {"backupId": last.id})
        if result["expired"] != gone:
            raise AssertionError(f"{self.name}: expired {result['expired']}, not {gone}")
        self.expired += gone
        self.backups = [taken for taken in self.backups if taken.id not in gone]

    def refresh(self):
        self.commander.done("RefreshStates")

    def ask_nonsense(self):
        self.commander.outcome("Recover", {"backupId": "1"}, expected="refused")

    def describe(self):
        return self.commander.done("DescribeSession")

    def look(self):
        """The document says what the answers to our commands said."""
        document = self.describe()
        found = [(b["backupId"], b["recoverable"]) for b in document["backups"]]
        expected = [(taken.id, True) for taken in self.backups]
        recovered = self.recovered and self.recovered.id
        state = "Protected" if self.backups or self.recovered else "Defined"
        told = document["recoveredBackup"], document["state"], document["error"]
        if found != expected or told != (recovered, state, False):
            raise AssertionError(
                f"{self.name}: {found} {told}, not {expected} {(recovered, state, False)}")
        return document

    def check_at_rest(self):
        """Everything, once more, with nobody at it."""
        self.writer.check_at_rest()
        for taken in self.backups:
            self.verify(taken)
        if self.recovered is not None:
            self.check_targets()
        return self.look()


class Builder:
    """Makes volumes and sessions and takes them down again: the commands of several steps."""

    def __init__(self, site, crew, chooser, number):
        self.crew = crew
        self.number = number
        self.commander = Commander(site.broker.uri, crew, chooser, f"builder-{number}")
        self.ids = [f"{0xe0 + number:02x}{n:02x}" for n in (1, 2)]
        self.rounds = 0

    def name(self, round):
        return f"built-{self.number}-{round}"

    def run(self):
        while not self.crew.stopping.is_set():
            self.round()

    def round(self):
        self.rounds += 1
        name, ids = self.name(self.rounds), self.ids
        self.storage("CreateVolumes", [
            {"id": id, "capacity": "1MiB", "safeguardedMultiplier": 4} for id in ids])
        do = self.commander.done
        do("CreateSession", {"type": "SafeguardedCopy"}, session=name)
        pair = {"H1": f"box1:{ids[0]}", "R1": f"box1:{ids[1]}"}
        do("AddCopySets", {"copySets": [pair]}, session=name)
        backup = do("Backup", session=name)["backupId"]
        do("Recover", {"backupId": backup, "backgroundCopy": True}, session=name)
        do("Terminate", session=name)
        do("DeleteSession", session=name)
        self.storage("ExpandVolumes", [{"id": ids[0], "capacity": "2MiB"}])
        self.storage("DeleteVolumes", ids)

    def check_at_rest(self):
        """What was taken down is gone."""
        volumes = self.commander.done("DescribeStorage", storage="box1")["volumes"]
        left = [volume["id"] for volume in volumes if volume["id"] in self.ids]
        if left:
            raise AssertionError(f"volumes {left} were deleted, and are there")

    def storage(self, command, volumes):
        self.commander.done(command, {"volumes": volumes}, storage="box1")
