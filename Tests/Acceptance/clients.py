"""Clients of Stillpoint that are not ours: pika for schedulers and consumers, libnbd for hosts."""

import json
import os
import uuid

import nbd
import pika

import schemas
from waiting import Deadline

PATIENCE = 30
JSON = "application/json"


def connect(uri):
    """A connection without heartbeats: the tests do not pump it while they do other things."""
    parameters = pika.URLParameters(uri)
    parameters.heartbeat = 0
    parameters.socket_timeout = 10
    parameters.stack_timeout = 20
    parameters.blocked_connection_timeout = 30
    return pika.BlockingConnection(parameters)


def close(connection):
    """Closes a connection, whatever has become of it."""
    try:
        if connection.is_open:
            connection.close()
    except pika.exceptions.AMQPError:
        pass  # The broker had closed it, or was killed: it is closed, which is what was wanted.


def strict_object(pairs):
    """For json.loads: an object that names a member twice is not one that readers agree on."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise AssertionError(f"a member is named twice: {[key for key, _ in pairs]}")
    return members


def read_json(body):
    return json.loads(body.decode("utf-8"), object_pairs_hook=strict_object)


class Refused(AssertionError):
    """A command that should have completed did not."""


class Scheduler:
    """Publishes commands with confirms and the mandatory flag, and collects the replies to them."""

    def __init__(self, uri, prefix="stillpoint", reply_queue=None, alive=lambda: None):
        self.exchange = f"{prefix}.commands"
        self.alive = alive
        self.sent = {}
        self.replies = {}
        self.reply_properties = {}
        self.connection = connect(uri)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        durable = reply_queue is not None
        declared = self.channel.queue_declare(
            reply_queue or "", durable=durable, exclusive=not durable)
        self.reply_queue = declared.method.queue
        self.channel.basic_consume(self.reply_queue, self._take, auto_ack=True)

    def _take(self, _channel, _method, properties, body):
        outcome = read_json(body)
        self.replies.setdefault(properties.correlation_id, []).append(outcome)
        self.reply_properties.setdefault(properties.correlation_id, []).append(properties)

    def publish(self, key, body, **properties):
        """Publishes bytes as a command; returns once the broker has confirmed them."""
        properties.setdefault("content_type", JSON)
        properties.setdefault("reply_to", self.reply_queue)
        self.channel.basic_publish(
            self.exchange, key, body, pika.BasicProperties(delivery_mode=2, **properties),
            mandatory=True)

    def send(self, command, *, session=None, storage=None, parameters=None, id=None, not_after=None,
             dry_run=None, **properties):
        """Publishes a command and returns its id."""
        body = {"id": id or f"{command}-{uuid.uuid4()}", "command": command}
        members = (("session", session), ("storage", storage), ("parameters", parameters),
                   ("notAfter", not_after), ("dryRun", dry_run))
        body.update((name, value) for name, value in members if value is not None)
        self.sent[body["id"]] = body
        self.publish(session or storage, json.dumps(body).encode(), **properties)
        return body["id"]

    def reply(self, correlation, nth=1, seconds=PATIENCE):
        """The nth reply that carries the correlation id, held to the schema of outcomes."""
        deadline = Deadline(seconds, f"reply {nth} to {correlation}")
        while len(self.replies.get(correlation, [])) < nth:
            self.alive()
            self.connection.process_data_events(min(0.5, deadline.left()))
        outcome = self.replies[correlation][nth - 1]
        schemas.check(outcome, "outcome")
        return outcome

    def outcome(self, command, *, seconds=PATIENCE, **arguments):
        """Sends a command and returns its outcome."""
        return self.reply(self.send(command, **arguments), seconds=seconds)

    def done(self, command, **arguments):
        """Sends a command that has to complete, and returns its result.

        What completes has to be a command by the published schema too.
        """
        outcome = self.outcome(command, **arguments)
        if outcome["outcome"] != "completed":
            raise Refused(f"{command} {arguments}: {json.dumps(outcome)}")
        schemas.check(self.sent[outcome["id"]], "command")
        return outcome["result"]

    def codes(self, command, **arguments):
        """Sends a command that has to be refused, and returns the codes of its reasons in order."""
        outcome = self.outcome(command, **arguments)
        if outcome["outcome"] != "refused":
            raise AssertionError(f"{command} {arguments} was not refused: {json.dumps(outcome)}")
        return [refusal["code"] for refusal in outcome["refusals"]]

    def describe(self, session):
        return self.done("DescribeSession", session=session)

    def close(self):
        close(self.connection)


class EventLog:
    """Reads the stream of events, drops repeats, and holds each event to the contract."""

    MARKER = "acceptance-marker"

    def __init__(self, uri, prefix="stillpoint", offset="first", validate=True):
        self.prefix = prefix
        self.validate = validate
        self.deliveries = []
        self.events = []
        self.bodies = {}
        self.markers = set()
        self.connection = connect(uri)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.channel.basic_qos(prefetch_count=500)
        self.channel.basic_consume(
            f"{prefix}.events.log", self._take, arguments={"x-stream-offset": offset})

    def _take(self, channel, method, properties, body):
        channel.basic_ack(method.delivery_tag)
        headers = properties.headers or {}
        if self.MARKER in headers:
            self.markers.add(headers[self.MARKER])
            return
        event = read_json(body)
        self.deliveries.append(event["id"])
        if event["id"] in self.bodies:
            if self.bodies[event["id"]] != body:
                raise AssertionError(f"event {event['id']} was repeated with another content")
            return
        self.bodies[event["id"]] = body
        self._check(event, method, properties)
        self.events.append(event)

    def _check(self, event, method, properties):
        kind = event["type"].removeprefix("stillpoint.")
        expected = (
            ("message_id", properties.message_id, event["id"]),
            ("content_type", properties.content_type, "application/cloudevents+json"),
            ("delivery_mode", properties.delivery_mode, 2),
            ("routing key", method.routing_key, f"{event['subject']}.{kind}"),
            ("id", event["id"], f"{event['subject']}/{event['sequence']}"))
        for name, found, due in expected:
            if found != due:
                raise AssertionError(f"event {event['id']}: {name} is {found!r}, not {due!r}")
        if self.validate:
            schemas.check_event(event)

    def pump(self, seconds=0.2):
        self.connection.process_data_events(seconds)

    def catch_up(self, seconds=PATIENCE):
        """Reads everything that was published before now."""
        marker = str(uuid.uuid4())
        properties = pika.BasicProperties(headers={self.MARKER: marker}, delivery_mode=2)
        self.channel.basic_publish(f"{self.prefix}.events", "acceptance.marker", b"", properties)
        deadline = Deadline(seconds, "the end of the event log")
        while marker not in self.markers:
            self.pump(min(0.5, deadline.left()))
        return self.events

    def wait(self, condition, what, seconds=PATIENCE):
        """The first event, read already or to come, of which the condition holds."""
        deadline = Deadline(seconds, f"event: {what}")
        seen = 0
        while True:
            for event in self.events[seen:]:
                if condition(event):
                    return event
            seen = len(self.events)
            self.pump(min(0.5, deadline.left()))

    def of(self, subject, *kinds):
        """The events read so far of a subject, by sequence; of those types where some are named."""
        types = {f"stillpoint.{kind}" for kind in kinds}
        return sorted((event for event in self.events
                       if event["subject"] == subject and (not types or event["type"] in types)),
                      key=lambda event: event["sequence"])

    def kinds(self, subject, after=0):
        """The types of a subject's events beyond a sequence, without their prefix."""
        return [event["type"].removeprefix("stillpoint.") for event in self.of(subject)
                if int(event["sequence"]) > after]

    def last(self, subject):
        """The last sequence number read of a subject; 0 where there was none."""
        return max((int(event["sequence"]) for event in self.of(subject)), default=0)

    def check_sequences(self):
        """Every subject's events came as 1, 2, 3 …; needs a log that is read from the first."""
        overtaken = self.overtaken()
        if overtaken:
            raise AssertionError("; ".join(overtaken))

    def check_complete(self):
        """No subject's event is missing, whatever the order; needs a log that is read from the first.

        Returns what was overtaken. RabbitMQ 3.10 itself may write an event of a channel behind later
        ones of the same channel when a stream gets a new leader, as after a kill of the broker.
        """
        told = {}
        for event in self.events:
            told.setdefault(event["subject"], []).append(int(event["sequence"]))
        for subject, numbers in told.items():
            if sorted(numbers) != list(range(1, len(numbers) + 1)):
                missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
                raise AssertionError(f"{subject}: events {missing} are missing")
        return self.overtaken()

    def overtaken(self):
        """A sentence for each event that did not come where it was due."""
        found, last = [], {}
        for event in self.events:
            subject, number = event["subject"], int(event["sequence"])
            due = last.get(subject, 0) + 1
            if number != due:
                told = [int(id.split("/")[1]) for id in self.deliveries if id.startswith(subject + "/")]
                place = told.index(number)
                found.append(f"{subject}: event {number} came where {due} was due, in the deliveries "
                             f"{told[max(0, place - 4):place + 8]}")
            last[subject] = number
        return found

    def close(self):
        close(self.connection)


class HostLost(Exception):
    """The connection to the volume is gone; what was not acknowledged may or may not be there."""


class Host:
    """A block device over NBD; no call takes longer than `seconds`."""

    LOST = {"ENOTCONN", "ECONNRESET", "EPIPE", "ECONNREFUSED", "ESHUTDOWN", "ECONNABORTED"}

    def __init__(self, port, export, seconds=PATIENCE, contexts=()):
        self.seconds = seconds
        self.export = export
        self.nbd = nbd.NBD()
        self.nbd.set_export_name(export)
        for context in contexts:
            self.nbd.add_meta_context(context)
        self.nbd.set_strict_mode(0)
        deadline = Deadline(seconds, f"connection to {export}")
        self._guarded(self.nbd.aio_connect_tcp, "127.0.0.1", str(port))
        while not self.nbd.aio_is_ready():
            if self.nbd.aio_is_dead() or self.nbd.aio_is_closed():
                raise HostLost(export)
            self._guarded(self.nbd.poll, int(min(0.5, deadline.left()) * 1000) + 1)

    def _guarded(self, call, *arguments):
        try:
            return call(*arguments)
        except nbd.Error as error:
            if error.errno == "ENOENT":
                raise  # The server lives, and has no such export.
            if error.errno in self.LOST or self.nbd.aio_is_dead() or self.nbd.aio_is_closed():
                raise HostLost(f"{self.export}: {error}") from error
            raise

    def _finish(self, cookie, what):
        deadline = Deadline(self.seconds, f"{what} on {self.export}")
        while not self._guarded(self.nbd.aio_command_completed, cookie):
            if self.nbd.aio_is_dead() or self.nbd.aio_is_closed():
                raise HostLost(self.export)
            self._guarded(self.nbd.poll, int(min(0.5, deadline.left()) * 1000) + 1)

    @property
    def size(self):
        return self.nbd.get_size()

    def read(self, offset=0, length=None):
        length = self.size - offset if length is None else length
        parts = []
        for start in range(offset, offset + length, 1 << 20):
            buffer = nbd.Buffer(min(1 << 20, offset + length - start))
            self._finish(self._guarded(self.nbd.aio_pread, buffer, start), "read")
            parts.append(bytes(buffer.to_bytearray()))
        return b"".join(parts)

    def write(self, data, offset=0, fua=False):
        buffer = nbd.Buffer.from_bytearray(bytearray(data))
        flags = nbd.CMD_FLAG_FUA if fua else 0
        self._finish(self._guarded(self.nbd.aio_pwrite, buffer, offset, None, flags), "write")

    def zero(self, offset, length, fua=False, may_trim=True):
        flags = (nbd.CMD_FLAG_FUA if fua else 0) | (0 if may_trim else nbd.CMD_FLAG_NO_HOLE)
        self._finish(self._guarded(self.nbd.aio_zero, length, offset, None, flags), "zero")

    def trim(self, offset, length):
        self._finish(self._guarded(self.nbd.aio_trim, length, offset), "trim")

    def flush(self):
        self._finish(self._guarded(self.nbd.aio_flush), "flush")

    def extents(self, offset=0, length=None, context="base:allocation"):
        """(length, flags) of a context, which must have been asked for."""
        found = []

        def take(name, _offset, entries, _error):
            if name == context:
                found.extend(zip(entries[::2], entries[1::2]))
            return 0

        span = self.size - offset if length is None else length
        self._finish(self._guarded(self.nbd.aio_block_status, span, offset, take), "block status")
        return found

    def close(self):
        """Says goodbye where that is possible; the handle goes with its last reference."""
        if self.nbd is None:
            return
        try:
            if self.nbd.aio_is_ready():
                self.nbd.aio_disconnect()
        except nbd.Error:
            pass  # It was gone already, which is what was wanted.
        self.nbd = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def export_names(port):
    """What NBD's LIST says."""
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.connect_tcp("127.0.0.1", str(port))
    names = []
    handle.opt_list(lambda name, _description: names.append(name) or 0)
    handle.opt_abort()
    return names


def random_bytes(length):
    """Bytes that no other write has."""
    return os.urandom(length)
