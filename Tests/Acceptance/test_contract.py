"""Sessions, commands and events, as section 2 to 6 of the wire contract have them."""

import json
import time
import unittest

from harness import SiteCase, wait_until

OPTIONS = {"minimumMinutesBetweenBackups": 0, "retentionMinutes": 0, "expireBackupOnAutoRoll": False}
SUMMARY = {"session", "type", "state", "status", "recoverable", "copying", "error", "copySets",
           "newestRecoverableBackup", "revision"}
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def safeguarded(**parameters):
    return {"type": "SafeguardedCopy"} | parameters


class SessionLife(SiteCase):
    def test_a_new_session_is_defined_and_inactive(self):
        name = self.site.name("new")
        document = self.scheduler.done(
            "CreateSession", session=name, parameters=safeguarded(description="Löhne"))
        self.assertEqual(document, self.scheduler.describe(name))
        expected = {"session": name, "type": "SafeguardedCopy", "description": "Löhne",
                    "state": "Defined", "status": "Inactive", "recoverable": False, "copying": False,
                    "error": False, "options": OPTIONS, "copySets": [], "rolePairs": [], "pairs": [],
                    "backups": [], "recoveredBackup": None}
        self.assertEqual(expected, {key: document[key] for key in expected})
        self.assertIn("AddCopySets", document["availableCommands"])
        self.assertNotIn("Recover", document["availableCommands"])

    def test_a_session_has_one_name_once(self):
        name, *_ = self.site.session(sets=0)
        self.assertEqual(
            ["session-exists"],
            self.scheduler.codes("CreateSession", session=name, parameters=safeguarded()))

    def test_a_deleted_session_is_unknown_and_its_name_is_free_and_its_events_go_on(self):
        name, *_ = self.site.session(sets=0)
        self.scheduler.done("DeleteSession", session=name)
        self.assertEqual(["unknown-session"], self.scheduler.codes("Backup", session=name))
        self.scheduler.done("CreateSession", session=name, parameters=safeguarded())
        self.log.catch_up()
        told = [kind for kind in self.log.kinds(name) if kind.startswith("session.")]
        self.assertEqual(["session.created", "session.deleted", "session.created"], told)
        self.log.check_sequences()

    def test_modify_changes_only_what_it_names(self):
        name, *_ = self.site.session(sets=0, options={"retentionMinutes": 60})
        before = self.scheduler.describe(name)
        after = self.scheduler.done("ModifySession", session=name, parameters={
            "description": "nightly", "options": {"expireBackupOnAutoRoll": True}})
        self.assertEqual("nightly", after["description"])
        self.assertEqual(
            OPTIONS | {"retentionMinutes": 60, "expireBackupOnAutoRoll": True}, after["options"])
        self.assertGreater(after["revision"], before["revision"])

    def test_a_backup_is_created_then_recoverable_and_then_the_session_is_normal_again(self):
        name, *_ = self.site.session(sets=2)
        self.log.catch_up()
        start = self.log.last(name)
        began = int(time.time())
        id = self.scheduler.send("Backup", session=name)
        outcome = self.scheduler.reply(id)
        self.log.catch_up()
        backup = outcome["result"]["backupId"]
        self.assertEqual({"backupId": backup, "copySets": 2}, outcome["result"])
        self.assertTrue(began <= int(backup) <= int(time.time()) + 1, backup)
        events = [e for e in self.log.of(name) if int(e["sequence"]) > start]
        told = [(e["type"].removeprefix("stillpoint."), e["data"].get("status")) for e in events]
        self.assertEqual(
            [("backup.created", None), ("session.changed", "Warning"), ("backup.recoverable", None),
             ("session.changed", "Normal"), ("command.completed", None)], told)
        self.assertEqual({id}, {event["commandid"] for event in events})
        created, _, recoverable, normal, completed = (event["data"] for event in events)
        self.assertEqual((backup, 2, 0), self.backup_figures(created))
        self.assertEqual((backup, 2, 2), self.backup_figures(recoverable))
        self.assertEqual(SUMMARY, set(normal))
        self.assertEqual(("Protected", True, backup), (
            normal["state"], normal["recoverable"], normal["newestRecoverableBackup"]))
        self.assertEqual(outcome, completed)

    @staticmethod
    def backup_figures(data):
        return data["backupId"], data["copySets"], data["recoverableCopySets"]

    def test_backup_ids_are_unique_and_rise(self):
        name, *_ = self.site.session()
        ids = [int(self.site.backup(name)) for _ in range(4)]
        self.assertEqual(sorted(set(ids)), ids)
        listed = [int(backup["backupId"]) for backup in self.scheduler.describe(name)["backups"]]
        self.assertEqual(ids, listed)

    def test_the_document_of_a_recovered_session_is_that_of_the_contract(self):
        name, (h1,), (r1,) = self.site.session()
        backup = self.site.backup(name)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(backup)))
        self.scheduler.done("Recover", session=name, parameters={"backupId": backup})
        document = self.scheduler.describe(name)
        expected = {
            "session": name, "state": "Protected", "status": "Normal", "recoverable": True,
            "copying": False, "error": False, "copySets": [{"H1": h1, "R1": r1}],
            "rolePairs": [{"rolePair": "H1-R1", "recoverable": True, "copying": False, "percent": 0,
                           "pairs": 1, "recoverablePairs": 1, "copyingPairs": 0,
                           "recoveryTime": moment}],
            "pairs": [{"rolePair": "H1-R1", "copySet": h1, "source": h1, "target": r1,
                       "state": "TargetAvailable", "recoverable": True, "copying": False,
                       "tracksRemaining": 64, "percent": 0, "lastResult": None}],
            "backups": [{"backupId": backup, "time": moment, "copySets": 1,
                         "recoverableCopySets": 1, "recoverable": True}],
            "recoveredBackup": backup}
        self.assertEqual(expected, {key: document[key] for key in expected})
        offered = {"Backup", "ExpireBackup", "InitiateBackgroundCopy", "ModifySession",
                   "DescribeSession", "RefreshStates", "TerminateH1R1", "Terminate"}
        self.assertLessEqual(offered, set(document["availableCommands"]))
        self.assertNotIn("Recover", document["availableCommands"])
        self.assertNotIn("DeleteSession", document["availableCommands"])

    def test_a_session_can_be_described_in_parts(self):
        name, *_ = self.site.session()
        self.site.backup(name)
        whole = self.scheduler.describe(name)
        for part in ("copySets", "rolePairs", "pairs", "backups"):
            document = self.scheduler.done(
                "DescribeSession", session=name, parameters={"parts": [part]})
            self.assertEqual(whole[part], document[part])
            self.assertEqual({"session", "type", part}, set(document))
        summary = self.scheduler.done(
            "DescribeSession", session=name, parameters={"parts": ["summary"]})
        self.assertEqual({key: whole[key] for key in summary}, summary)
        self.assertIn("status", summary)

    def test_describing_changes_nothing(self):
        name, *_ = self.site.session()
        first = self.scheduler.describe(name)
        self.scheduler.done("RefreshStates", session=name)
        self.assertEqual(first, self.scheduler.describe(name))

    def test_commands_are_refused_in_states_that_do_not_offer_them(self):
        name, *_ = self.site.session()
        for command, parameters in (
                ("Recover", {"backupId": "1"}), ("ExpireBackup", {"backupId": "1"}),
                ("InitiateBackgroundCopy", None), ("TerminateH1R1", None), ("Terminate", None)):
            codes = self.scheduler.codes(command, session=name, parameters=parameters)
            self.assertEqual(["not-in-this-state"], codes, command)
        self.site.backup(name)
        self.assertEqual(["not-in-this-state"], self.scheduler.codes("DeleteSession", session=name))

    def test_a_refusal_lists_every_reason_with_its_subject_and_remedy(self):
        name, *_ = self.site.session(sets=0)
        h1s = self.site.volumes(3, multiplier=0)
        self.scheduler.done(
            "AddCopySets", session=name, parameters={"copySets": [{"H1": h1} for h1 in h1s]})
        outcome = self.scheduler.outcome("Backup", session=name)
        self.assertEqual("refused", outcome["outcome"])
        self.assertIsNone(outcome["result"])
        self.assertEqual(
            [("no-safeguarded-capacity", f"H1 {h1}") for h1 in h1s],
            [(reason["code"], reason["subject"]) for reason in outcome["refusals"]])
        for reason in outcome["refusals"]:
            self.assertIn("SetSafeguardedCapacity", reason["remedy"])
            self.assertTrue(reason["message"].endswith("."))

    def test_copy_sets_are_added_all_or_none(self):
        name, (taken,), _ = self.site.session()
        fresh, = self.site.volumes(1)
        pairs = [{"H1": fresh}, {"H1": taken}, {"H1": "box1:ffff"}, {"H1": "box9:0001"}]
        codes = self.scheduler.codes("AddCopySets", session=name, parameters={"copySets": pairs})
        self.assertEqual(["copy-set-exists", "unknown-volume", "unknown-storage"], codes)
        self.assertEqual(1, len(self.scheduler.describe(name)["copySets"]))

    def test_terminate_leads_back_to_defined_and_gives_everything_up(self):
        name, (h1,), (r1,) = self.site.session()
        backup = self.site.backup(name)
        self.scheduler.done("Recover", session=name, parameters={"backupId": backup})
        self.scheduler.done("Terminate", session=name)
        document = self.scheduler.describe(name)
        self.assertEqual(("Defined", "Inactive", [], [], None), tuple(document[key] for key in (
            "state", "status", "backups", "pairs", "recoveredBackup")))
        volumes = self.site.storage()
        self.assertEqual(([], None), (volumes[h1]["points"], volumes[r1]["relationship"]))
        self.log.catch_up()
        self.assertEqual([backup], [
            event["data"]["backupId"] for event in self.log.of(name, "backup.expired")])
        self.assertEqual("Inactive", self.log.of(name, "session.changed")[-1]["data"]["status"])
        self.scheduler.done("DeleteSession", session=name)


class RemovedCopySets(SiteCase):
    def test_kept_backups_are_found_again(self):
        name, (h1,), (r1,) = self.site.session()
        backup = self.site.backup(name)
        before = self.scheduler.describe(name)["backups"]
        self.scheduler.done("RemoveCopySets", session=name, parameters={
            "copySets": [h1], "keepOnStorage": True})
        self.assertEqual("Defined", self.scheduler.describe(name)["state"])
        self.assertEqual([backup], [p["backupId"] for p in self.site.storage()[h1]["points"]])
        self.scheduler.done(
            "AddCopySets", session=name, parameters={"copySets": [{"H1": h1, "R1": r1}]})
        self.assertEqual("Defined", self.scheduler.describe(name)["state"])
        changes = self.scheduler.done("RefreshStates", session=name)["changes"]
        self.assertTrue(any(backup in change for change in changes), changes)
        document = self.scheduler.describe(name)
        self.assertEqual(("Protected", "Normal", before), tuple(
            document[key] for key in ("state", "status", "backups")))
        self.scheduler.done("Recover", session=name, parameters={"backupId": backup})

    def test_backups_of_a_lost_session_are_found_by_another(self):
        name, (h1,), (r1,) = self.site.session()
        with self.site.host(h1) as host:
            host.write(b"\x5a" * 8192, 4096, fua=True)
        backup = self.site.backup(name)
        self.scheduler.done("RemoveCopySets", session=name, parameters={
            "copySets": [h1], "keepOnStorage": True})
        self.scheduler.done("DeleteSession", session=name)
        other = self.site.name("finder")
        self.scheduler.done("CreateSession", session=other, parameters=safeguarded())
        self.scheduler.done(
            "AddCopySets", session=other, parameters={"copySets": [{"H1": h1, "R1": r1}]})
        self.scheduler.done("RefreshStates", session=other)
        document = self.scheduler.describe(other)
        self.assertEqual(("Protected", "Normal", [backup]), (
            document["state"], document["status"],
            [backup["backupId"] for backup in document["backups"]]))
        self.scheduler.done("Recover", session=other, parameters={"backupId": backup})
        with self.site.host(r1) as host:
            self.assertEqual(b"\0" * 4096 + b"\x5a" * 8192, host.read(0, 12288))

    def test_without_keeping_the_storage_gives_the_backups_up(self):
        name, (h1, other), _ = self.site.session(sets=2)
        backup = self.site.backup(name)
        self.scheduler.done("RemoveCopySets", session=name, parameters={"copySets": [h1]})
        volumes = self.site.storage()
        self.assertEqual(([], 1), (volumes[h1]["points"], len(volumes[other]["points"])))
        document = self.scheduler.describe(name)
        self.assertEqual([(backup, 1, True)], [
            (b["backupId"], b["copySets"], b["recoverable"]) for b in document["backups"]])

    def test_unknown_ones_are_refused_and_recovered_ones_stay(self):
        name, (h1,), _ = self.site.session()
        remove = {"copySets": ["box1:fffe"]}
        self.assertEqual(
            ["unknown-copy-set"],
            self.scheduler.codes("RemoveCopySets", session=name, parameters=remove))
        backup = self.site.backup(name)
        self.scheduler.done("Recover", session=name, parameters={"backupId": backup})
        codes = self.scheduler.codes("RemoveCopySets", session=name, parameters={"copySets": [h1]})
        self.assertEqual(["recovery-in-place"], codes)


class OnceAndInOrder(SiteCase):
    def test_an_id_sent_three_times_is_executed_once(self):
        name, *_ = self.site.session()
        id = "thrice ~ " + name
        for _ in range(3):
            self.scheduler.send("Backup", session=name, id=id)
        replies = [self.scheduler.reply(id, nth) for nth in (1, 2, 3)]
        self.assertEqual([False, True, True], [reply["duplicate"] for reply in replies])
        for reply in replies[1:]:
            self.assertEqual(replies[0], reply | {"duplicate": False})
        self.assertEqual(1, len(self.scheduler.describe(name)["backups"]))
        self.log.catch_up()
        self.assertEqual(1, len(self.log.of(name, "backup.created")))
        told = [event["data"] for event in self.log.of(name, "command.completed")
                if event["commandid"] == id]
        self.assertEqual(replies, told)

    def test_a_command_sent_200_times_by_four_schedulers_is_executed_once(self):
        name, *_ = self.site.session()
        schedulers = [self.site.new_scheduler() for _ in range(4)]
        for _ in range(50):
            for scheduler in schedulers:
                scheduler.send("Backup", session=name, id="again and again")
        outcomes = []
        for scheduler in schedulers:
            outcomes += [scheduler.reply("again and again", nth) for nth in range(1, 51)]
            scheduler.close()
        self.assertEqual(199, sum(outcome["duplicate"] for outcome in outcomes))
        self.assertEqual(1, len({outcome["result"]["backupId"] for outcome in outcomes}))
        self.assertEqual(1, len(self.scheduler.describe(name)["backups"]))

    def test_a_refusal_is_repeated_too_even_once_it_would_not_be_one(self):
        name, *_ = self.site.session(sets=0)
        id = self.scheduler.send("Backup", session=name)
        first = self.scheduler.reply(id)
        self.assertEqual("no-copy-sets", first["refusals"][0]["code"])
        h1, = self.site.volumes(1)
        self.scheduler.done("AddCopySets", session=name, parameters={"copySets": [{"H1": h1}]})
        self.scheduler.send("Backup", session=name, id=id)
        self.assertEqual(first | {"duplicate": True}, self.scheduler.reply(id, 2))
        self.assertEqual([], self.scheduler.describe(name)["backups"])

    def test_an_id_is_refused_for_another_command_and_the_first_outcome_stays(self):
        name, *_ = self.site.session()
        id = self.scheduler.send("Backup", session=name)
        first = self.scheduler.reply(id)
        self.scheduler.send("Terminate", session=name, id=id)
        second = self.scheduler.reply(id, 2)
        self.assertEqual(("refused", ["command-id-reused"]), (
            second["outcome"], [reason["code"] for reason in second["refusals"]]))
        self.scheduler.send("Backup", session=name, id=id)
        self.assertEqual(first | {"duplicate": True}, self.scheduler.reply(id, 3))
        self.assertEqual("Protected", self.scheduler.describe(name)["state"])

    def test_an_id_belongs_to_its_session(self):
        first, *_ = self.site.session()
        second, *_ = self.site.session()
        for name in (first, second):
            outcome = self.correlated("nightly", name)
            self.assertEqual(("completed", False), (outcome["outcome"], outcome["duplicate"]))

    def correlated(self, id, name):
        self.scheduler.send("Backup", session=name, id=id, correlation_id=f"for {name}")
        return self.scheduler.reply(f"for {name}")

    def test_message_id_will_do_for_an_id(self):
        name, *_ = self.site.session()
        body = json.dumps({"command": "Backup", "session": name}).encode()
        id = f"property {name}"
        self.scheduler.publish(name, body, message_id=id)
        self.scheduler.publish(name, body, message_id=id)
        first, second = self.scheduler.reply(id), self.scheduler.reply(id, 2)
        self.assertEqual((id, "completed", False), (
            first["id"], first["outcome"], first["duplicate"]))
        self.assertEqual(first | {"duplicate": True}, second)

    def test_an_id_given_twice_has_to_agree(self):
        name, *_ = self.site.session()
        id = self.scheduler.send("Backup", session=name, id=f"a-{name}", message_id=f"a-{name}")
        self.assertEqual("completed", self.scheduler.reply(id)["outcome"])
        self.scheduler.send(
            "Backup", session=name, id=f"b-{name}", message_id="c", correlation_id=f"d-{name}")
        reasons = self.scheduler.reply(f"d-{name}")["refusals"]
        self.assertEqual([("malformed-command", "/id")], [
            (reason["code"], reason["subject"]) for reason in reasons])

    def test_a_late_command_is_refused_and_an_early_one_is_not(self):
        name, *_ = self.site.session()
        codes = self.scheduler.codes("Backup", session=name, not_after="2026-01-01T00:00:00Z")
        self.assertEqual(["command-expired"], codes)
        self.assertEqual([], self.scheduler.describe(name)["backups"])
        self.scheduler.done("Backup", session=name, not_after="2996-01-01T00:00:00+02:00")

    def test_a_dry_run_says_what_would_be_done_and_changes_nothing(self):
        name, *_ = self.site.session()
        before = self.scheduler.describe(name)
        result = self.scheduler.done("Backup", session=name, dry_run=True)
        self.assertTrue(result, "a dry run says nothing")
        self.assertEqual(before, self.scheduler.describe(name))
        self.assertEqual(
            ["not-in-this-state"], self.scheduler.codes("Terminate", session=name, dry_run=True))
        codes = self.scheduler.codes(
            "CreateSession", session=name, parameters=safeguarded(), dry_run=True)
        self.assertEqual(["session-exists"], codes)
        fresh = self.site.name("dry")
        self.scheduler.done(
            "CreateSession", session=fresh, parameters=safeguarded(), dry_run=True)
        self.assertEqual(["unknown-session"], self.scheduler.codes("Backup", session=fresh))
        self.scheduler.done("CreateVolumes", storage="box1", dry_run=True, parameters={
            "volumes": [{"id": "fff0", "capacity": "1MiB"}]})
        self.assertNotIn("box1:fff0", self.site.storage())

    def test_200_commands_of_one_session_run_in_the_order_sent_one_at_a_time(self):
        name, *_ = self.site.session(sets=0)
        ids = [self.scheduler.send("ModifySession", session=name, id=f"{name} {number}", parameters={
            "description": str(number)}) for number in range(200)]
        outcomes = [self.scheduler.reply(id) for id in ids]
        self.assertEqual([str(n) for n in range(200)], [
            outcome["result"]["description"] for outcome in outcomes])
        for earlier, later in zip(outcomes, outcomes[1:]):
            self.assertLessEqual(earlier["finishedAt"], later["startedAt"])
            self.assertLess(earlier["revision"], later["revision"])
        self.log.catch_up()
        told = [event["commandid"] for event in self.log.of(name, "command.completed")]
        self.assertEqual(ids, told[-200:])

    def test_50_sessions_side_by_side_each_keep_their_order(self):
        volumes = iter(self.site.volumes(50, capacity="1MiB"))
        names = [self.site.name("many") for _ in range(50)]
        sent = {name: [] for name in names}
        for name in names:
            sent[name].append(self.scheduler.send(
                "CreateSession", session=name, parameters=safeguarded()))
            sent[name].append(self.scheduler.send("AddCopySets", session=name, parameters={
                "copySets": [{"H1": next(volumes)}]}))
        for _ in range(3):
            for name in names:
                sent[name].append(self.scheduler.send("Backup", session=name))
        for name in names:
            for id in sent[name]:
                self.assertEqual("completed", self.scheduler.reply(id)["outcome"])
        self.log.catch_up()
        for name in names:
            told = [event["commandid"] for event in self.log.of(name, "command.completed")]
            self.assertEqual(sent[name], told)
            self.assertEqual(3, len(self.log.of(name, "backup.recoverable")))
        self.log.check_sequences()


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
