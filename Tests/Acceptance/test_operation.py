"""The worker as a process: configuration, health pages, signals, restarts, its directory."""

import json
import pathlib
import re
import shutil
import signal
import socket
import tempfile
import time
import unittest

from clients import random_bytes
from harness import EventLog, SiteCase, Worker, wait_until

SAMPLE = re.compile(r'^[a-zA-Z_:][\w:]*(\{(\w+="[^"]*",?)*\})? -?[0-9.eE+-]+|\+Inf|NaN$')


class Workers(SiteCase):
    """More workers on the shared broker, with prefixes of their own."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="stillpoint-operation-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def worker(self, name="other", environment=None, **changes):
        worker = Worker(
            self.directory / name, self.site.broker.uri, prefix=name, environment=environment,
            **changes)
        self.addCleanup(worker.kill)
        return worker


class Configuration(Workers):
    def refused(self, worker, *words, arguments=()):
        """The worker ends by itself, not with 0, and one line says why."""
        worker.launch(*arguments)
        self.assertNotEqual(0, worker.wait(20))
        lines = [line for line in worker.tail().splitlines() if line.strip()]
        self.assertEqual(1, len(lines), lines)
        for word in words:
            self.assertIn(word, lines[0])

    def test_an_unknown_key_stops_the_start(self):
        worker = self.worker()
        worker.configuration["broker"]["colour"] = "red"
        self.refused(worker, "broker.colour")

    def test_an_unknown_section_stops_the_start(self):
        self.refused(self.worker(telemetry={"endpoint": "x"}), "telemetry")

    def test_a_bad_value_stops_the_start(self):
        for section, key, value in (
                ("broker", "partitions", "many"), ("broker", "partitions", 0),
                ("nbd", "listen", "everywhere"), ("http", "listen", "127.0.0.1:99999"),
                ("broker", "uri", "http://127.0.0.1")):
            with self.subTest(key=key, value=value):
                worker = self.worker(f"bad-{value}"[:10].replace(":", "-").replace("/", "-"))
                worker.configuration["broker"]["prefix"] = "bad"
                worker.configuration[section][key] = value
                self.refused(worker, f"{section}.{key}")

    def test_an_unknown_variable_of_a_section_stops_the_start(self):
        worker = self.worker(environment={"STILLPOINT_BROKER_COLOUR": "red"})
        self.refused(worker, "STILLPOINT_BROKER_COLOUR")

    def test_a_bad_variable_stops_the_start(self):
        worker = self.worker(environment={"STILLPOINT_BROKER_PARTITIONS": "-1"})
        self.refused(worker, "broker.partitions")

    def test_a_file_that_is_not_there_stops_the_start(self):
        self.refused(
            self.worker(), "nowhere.yaml", arguments=("worker", "--config", "nowhere.yaml"))

    def test_a_file_that_is_not_yaml_stops_the_start(self):
        file = self.directory / "broken.yaml"
        file.write_text("broker: [\n  - {", encoding="utf-8")
        self.refused(
            self.worker(), str(file), arguments=("worker", "--config", str(file)))

    def test_variables_override_the_file_and_name_the_file(self):
        worker = self.worker("first")
        file = worker.directory / "stillpoint.yaml"
        worker.environment = {
            "STILLPOINT_CONFIG": str(file), "STILLPOINT_BROKER_PREFIX": "second",
            "STILLPOINT_INSTANCE": "renamed"}
        worker.launch("worker")
        worker.wait_ready()
        channel = self.scheduler.connection.channel()
        channel.queue_declare("second.commands.3", passive=True)
        log = EventLog(self.site.broker.uri, prefix="second")
        self.addCleanup(log.close)
        body = b'{"id":"1","command":"Backup","session":"x"}'
        channel.basic_publish("second.commands", "x", body)
        event = log.wait(lambda event: True, "an event of the second")
        self.assertEqual("/stillpoint/renamed", event["source"])

    def test_the_door_for_hosts_can_be_off(self):
        worker = self.worker("closed", nbd={"listen": "off"})
        worker.start()
        with socket.socket() as probe:
            self.assertNotEqual(0, probe.connect_ex(("127.0.0.1", worker.nbd_port)))

    def test_a_storage_directory_has_one_owner(self):
        owner = self.worker("owner")
        owner.start()
        for key in ("storage", "store"):
            second = self.worker(f"second-{key}", **{key: owner.configuration[key]})
            second.launch()
            self.assertNotEqual(0, second.wait(20))
            owner.check_alive()


class Pages(SiteCase):
    def test_a_ready_worker_is_healthy_and_counts(self):
        self.assertEqual(200, self.site.worker.page("healthz")[0])
        self.assertEqual(200, self.site.worker.page("readyz")[0])
        name, *_ = self.site.session(sets=0)

        def completed():
            status, text = self.site.worker.page("metrics")
            self.assertEqual(200, status)
            for line in text.splitlines():
                if line and not line.startswith("#"):
                    self.assertRegex(line, SAMPLE)
            return float(re.search(r'^stillpoint_\w+\{[^}]*completed[^}]*\} (\S+)$', text, re.M)[1])

        before = completed()
        self.scheduler.done("DescribeSession", session=name)
        self.assertEqual(before + 1, completed())

    def test_other_pages_are_not_found(self):
        self.assertEqual(404, self.site.worker.page("etc/passwd")[0])


class BrokerTroubles(SiteCase):
    def test_an_event_that_no_queue_takes_is_owed_until_one_does(self):
        name, *_ = self.site.session()
        self.log.catch_up()
        told = self.log.last(name)
        binding = {"queue": "stillpoint.events.log", "exchange": "stillpoint.events"}
        channel = self.scheduler.connection.channel()
        channel.queue_unbind(**binding, routing_key="#")
        try:
            ids = [self.scheduler.send("Backup", session=name) for _ in range(3)]
            for id in ids:
                self.assertEqual("completed", self.scheduler.reply(id)["outcome"])
        finally:
            channel.queue_bind(**binding, routing_key="#")
            channel.close()
        self.log.wait(
            lambda event: event.get("commandid") == ids[-1]
            and event["type"] == "stillpoint.command.completed", "the last outcome")
        self.assertEqual(15, self.log.last(name) - told)
        self.log.check_sequences()

    def test_a_broker_that_takes_nothing_for_want_of_memory_is_waited_for(self):
        name, (h1,), _ = self.site.session(capacity="1MiB", multiplier=1)
        with self.site.host(h1) as host:
            host.write(random_bytes(host.size), fua=True)
        self.site.backup(name)
        self.site.broker.control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            # Our own commands would not come through either; filling the capacity makes an event.
            with self.site.host(h1) as host:
                for block in range(250):
                    host.write(b"meanwhile", block * 4096)
                host.flush()
            self.site.worker.wait_unready()
            self.assertEqual(200, self.site.worker.page("healthz")[0])
        finally:
            self.site.broker.control("set_vm_memory_high_watermark", "0.4")
        self.site.worker.wait_ready()
        self.log.wait(
            lambda event: event["type"] == "stillpoint.storage.capacity"
            and event["data"]["volume"] == h1, "the event that was held up")
        self.site.backup(name)
        self.log.check_sequences()


class Signals(SiteCase):
    def everything(self, names):
        """What the session and the storage say, once the session has asked the storage."""
        for name in names:
            self.scheduler.done("RefreshStates", session=name)
        return {name: self.scheduler.describe(name) for name in names} | {"": self.site.storage()}

    def recovered_session(self):
        name, (h1,), (r1,) = self.site.session()
        with self.site.host(h1) as host:
            host.write(b"before " * 1000, 5000, fua=True)
        backup = self.site.backup(name)
        self.scheduler.done("Recover", session=name, parameters={"backupId": backup})
        with self.site.host(r1) as host:
            host.write(b"after " * 1000, 70_000, fua=True)
            content = host.read()
        return name, r1, content

    def test_a_restart_keeps_everything_and_says_nothing(self):
        sessions = [self.recovered_session() for _ in range(3)]
        names = [name for name, *_ in sessions]
        repeated = self.scheduler.send("Backup", session=names[0])
        first = self.scheduler.reply(repeated)
        # What hosts wrote last leaves the write journal within a second or so, and counts as saved then.
        time.sleep(3)
        before = self.everything(names)
        self.log.catch_up()
        told = {name: self.log.last(name) for name in names}
        self.site.worker.restart()
        self.log.catch_up()
        self.assertEqual(told, {name: self.log.last(name) for name in names})
        self.assertEqual(before, self.everything(names))
        for _, r1, content in sessions:
            with self.site.host(r1) as host:
                self.assertEqual(content, host.read())
        self.scheduler.send("Backup", session=names[0], id=repeated)
        self.assertEqual(first | {"duplicate": True}, self.scheduler.reply(repeated, 2))
        self.log.catch_up()
        self.log.check_sequences()

    def test_sigterm_finishes_what_was_taken_and_publishes_what_is_owed(self):
        names = [self.site.session(capacity="1MiB")[0] for _ in range(4)]
        ids = [self.scheduler.send("Backup", session=name) for _ in range(25) for name in names]
        self.assertEqual(0, self.site.worker.terminate())
        try:
            self.log.catch_up()
            told = [event["commandid"] for name in names
                    for event in self.log.of(name, "command.completed")
                    if event["commandid"] in ids]
            waiting = sum(self.scheduler.channel.queue_declare(
                f"stillpoint.commands.{number}", passive=True).method.message_count
                for number in range(4))
            self.assertEqual(len(ids), len(set(told)) + waiting)
        finally:
            self.site.worker.start()
        for id in ids:
            self.assertEqual("completed", self.scheduler.reply(id)["outcome"])
        self.log.catch_up()
        for name in names:
            self.assertEqual(25, len(self.log.of(name, "backup.created")))
            self.assertEqual(25, len(self.scheduler.describe(name)["backups"]))
        self.log.check_sequences()

    def test_sighup_is_survived(self):
        self.site.worker.process.send_signal(signal.SIGHUP)
        name, *_ = self.site.session(sets=0)
        self.scheduler.describe(name)
        self.site.worker.check_alive()

    def limit_copies(self, rate):
        self.site.worker.configuration["storage"]["box1"]["copyRateMiBps"] = rate
        self.site.worker.configure()
        self.site.worker.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: self.site.worker.tail(1000).count("configuration re-read") > self.reloads, 10, "it is re-read")
        self.reloads = self.site.worker.tail(1000).count("configuration re-read")

    def test_the_rate_of_all_copies_is_limited_and_sighup_changes_the_limit(self):
        self.reloads = self.site.worker.tail(1000).count("configuration re-read")
        name, (h1,), _ = self.site.session(capacity="64MiB")
        with self.site.host(h1) as host:
            for offset in range(0, host.size, 4 << 20):
                host.write(random_bytes(4 << 20), offset)
            host.flush()
        backup = self.site.backup(name)
        self.limit_copies(1)
        try:
            self.scheduler.done(
                "Recover", session=name, parameters={"backupId": backup, "backgroundCopy": True})
            time.sleep(3)
            pair, = self.scheduler.describe(name)["pairs"]
            # 1,024 tracks: a second is 16 of them.
            self.assertGreater(pair["tracksRemaining"], 500)
        finally:
            self.limit_copies(0)
        wait_until(
            lambda: self.scheduler.describe(name)["pairs"][0]["tracksRemaining"] == 0, 60, "it is copied")

    def test_logs_are_structured_lines(self):
        lines = self.site.worker.tail(1000).splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertLessEqual({"time", "level", "message"}, set(json.loads(line)), line)

    def test_a_broken_connection_of_a_host_harms_nobody(self):
        volume, = self.site.volumes(1)
        for junk in (b"", b"\0" * 3, b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 4096):
            with socket.create_connection(("127.0.0.1", self.site.worker.nbd_port), 5) as raw:
                raw.recv(18)
                raw.sendall(junk)
        wait_until(self.site.worker.is_ready, 10, "still ready")
        with self.site.host(volume) as host:
            host.write(b"fine", fua=True)


if __name__ == "__main__":
    unittest.main()
