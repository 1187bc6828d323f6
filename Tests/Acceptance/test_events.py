"""Messages: the topology, replies, dead letters, traces and events of the wire contract."""

import json
import unittest

from harness import SiteCase, wait_until

TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Messages(SiteCase):
    def test_a_reply_has_the_correlation_id_or_else_the_command_id(self):
        name, *_ = self.site.session(sets=0)
        id = self.scheduler.send("DescribeSession", session=name)
        self.assertEqual(id, self.scheduler.reply(id)["id"])
        self.assertEqual("application/json", self.scheduler.reply_properties[id][0].content_type)
        correlation = f"correlation of {name}"
        other = self.scheduler.send("DescribeSession", session=name, correlation_id=correlation)
        self.assertEqual(other, self.scheduler.reply(correlation)["id"])

    def test_an_outcome_has_every_member_and_its_times_are_in_order(self):
        name, *_ = self.site.session(sets=0)
        outcome = self.scheduler.outcome("RefreshStates", session=name)
        self.assertEqual(
            {"id", "command", "session", "outcome", "duplicate", "result", "refusals", "error",
             "revision", "receivedAt", "startedAt", "finishedAt"}, set(outcome))
        times = [outcome[key] for key in ("receivedAt", "startedAt", "finishedAt")]
        for moment in times:
            self.assertRegex(moment, TIME)
        self.assertEqual(sorted(times), times)

    def test_what_cannot_be_attributed_is_answered_told_and_kept_untouched(self):
        body = b'{"command": "Backup", "id": 7} ' + self.site.name("dead").encode()
        self.scheduler.publish("nobody", body, correlation_id="dead letter")
        outcome = self.scheduler.reply("dead letter")
        self.assertEqual("refused", outcome["outcome"])
        self.assertEqual("malformed-command", outcome["refusals"][0]["code"])
        self.log.catch_up()
        event = self.log.of("_", "command.refused")[-1]
        self.assertEqual(outcome, event["data"])
        method, properties, kept = wait_until(
            lambda: self.dead_letter(body), 20, "the message is among the dead letters")
        self.assertEqual(body, kept)
        self.assertEqual("dead letter", properties.correlation_id)
        self.assertEqual("rejected", properties.headers["x-death"][0]["reason"])
        self.assertEqual("nobody", properties.headers["x-death"][0]["routing-keys"][0])

    def dead_letter(self, body):
        """Takes dead letters until the one of that body; None where there is none."""
        while True:
            method, properties, kept = self.scheduler.channel.basic_get(
                "stillpoint.dead.letters", auto_ack=True)
            if method is None:
                return None
            if kept == body:
                return method, properties, kept

    def test_what_expired_in_the_queue_is_a_dead_letter_and_is_not_executed(self):
        name, *_ = self.site.session()
        self.assertEqual(0, self.site.worker.terminate())
        try:
            body = json.dumps({"id": f"late-{name}", "command": "Backup", "session": name}).encode()
            self.scheduler.alive = lambda: None
            self.scheduler.publish(name, body, expiration="20")
            _, properties, _ = wait_until(
                lambda: self.dead_letter(body), 20, "the expired message is a dead letter")
            self.assertEqual("expired", properties.headers["x-death"][0]["reason"])
        finally:
            self.site.worker.start()
            self.scheduler.alive = self.site.worker.check_alive
        self.assertEqual([], self.scheduler.describe(name)["backups"])

    def test_a_trace_goes_on_in_the_events(self):
        name, *_ = self.site.session()
        parent = f"00-{TRACE}-00f067aa0ba902b7-01"
        id = self.scheduler.send("Backup", session=name, headers={
            "traceparent": parent, "tracestate": "vendor=1"})
        self.assertEqual("completed", self.scheduler.reply(id)["outcome"])
        self.log.catch_up()
        events = [event for event in self.log.of(name) if event.get("commandid") == id]
        self.assertEqual({TRACE}, {event["traceparent"].split("-")[1] for event in events})
        self.assertEqual(5, len(events))

    def test_events_are_cloud_events_with_their_attributes(self):
        name, *_ = self.site.session()
        self.site.backup(name)
        self.log.catch_up()
        for number, event in enumerate(self.log.of(name), 1):
            self.assertEqual(
                ("1.0", "/stillpoint/acceptance", name, f"{number:020}", f"{name}/{number:020}"),
                tuple(event[key] for key in ("specversion", "source", "subject", "sequence", "id")))
            self.assertRegex(event["time"], TIME)
            self.assertRegex(event["type"], r"^stillpoint\.[a-z]+\.[a-z]+$")

    def test_a_healthy_worker_tells_everything_once(self):
        name, *_ = self.site.session()
        ids = [self.scheduler.send("Backup", session=name) for _ in range(20)]
        for id in ids:
            self.scheduler.reply(id)
        self.log.catch_up()
        told = [id for id in self.log.deliveries if id.startswith(f"{name}/")]
        self.assertEqual(sorted(set(told)), told)
        self.assertEqual({1}, {len(self.scheduler.replies[id]) for id in ids})

    def test_a_consumer_binds_to_what_it_wants(self):
        name, *_ = self.site.session()
        channel = self.scheduler.channel
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "stillpoint.events", f"{name}.backup.*")
        backup = self.site.backup(name)
        got = []

        def both():
            method, _, body = channel.basic_get(queue, auto_ack=True)
            if method is not None:
                got.append((method.routing_key, json.loads(body)["data"]["backupId"]))
            return len(got) == 2

        wait_until(both, 20, "two events of the backup")
        self.assertEqual(
            [(f"{name}.backup.created", backup), (f"{name}.backup.recoverable", backup)], got)

    def test_a_late_consumer_replays_every_event_from_the_first_or_from_an_offset(self):
        self.log.catch_up()
        late = self.site.new_log(validate=False)
        partial = self.site.new_log(offset=10, validate=False)
        try:
            self.assertEqual(self.log.events, late.catch_up()[:len(self.log.events)])
            self.assertIn(partial.catch_up()[0]["id"], self.log.deliveries[5:15])
        finally:
            late.close()
            partial.close()

    def test_the_topology_is_that_of_the_contract(self):
        listed = self.site.broker.control(
            "list_queues", "name", "type", "durable", "arguments", "--formatter", "json", "--quiet")
        queues = {queue["name"]: queue for queue in json.loads(listed)}
        for number in range(4):
            queue = queues[f"stillpoint.commands.{number}"]
            self.assertEqual(("quorum", True), (queue["type"].split(".")[-1], queue["durable"]))
        self.assertNotIn("stillpoint.commands.4", queues)
        channel = self.scheduler.connection.channel()
        channel.exchange_declare("stillpoint.commands", passive=True)
        channel.exchange_declare("stillpoint.events", "topic", durable=True)
        channel.exchange_declare("stillpoint.dead", "fanout", durable=True)
        channel.queue_declare("stillpoint.commands.0", durable=True, arguments={
            "x-queue-type": "quorum", "x-single-active-consumer": True,
            "x-dead-letter-exchange": "stillpoint.dead", "x-overflow": "reject-publish",
            "x-dead-letter-strategy": "at-least-once", "x-delivery-limit": 20})
        channel.queue_declare("stillpoint.events.log", durable=True, arguments={
            "x-queue-type": "stream", "x-max-age": "30D"})
        channel.queue_declare(
            "stillpoint.dead.letters", durable=True, arguments={"x-queue-type": "quorum"})
        channel.close()


if __name__ == "__main__":
    unittest.main()
