"""Sessions and commands, as sections 2, 4 and 6 of the wire contract have them."""

import json
import time
import unittest

from harness import SiteCase

OPTIONS = {
    "minimumMinutesBetweenBackups": 0, "retentionMinutes": 0, "expireBackupOnAutoRoll": False}
SUMMARY = {"session", "type", "state", "status", "recoverable", "copying", "error", "copySets",
           "newestRecoverableBackup", "revision"}


def safeguarded(**parameters):
    return {"type": "SafeguardedCopy"} | parameters


class SessionLife(SiteCase):
    def test_a_new_session_is_defined_and_inactive(self):
        name = self.site.name("new")
        document = self.scheduler.done(
            "CreateSession", session=name, parameters=safeguarded(description="Löhne"))
        self.assertEqual(document, self.scheduler.describe(name))
        expected = {"session": name, "type": "SafeguardedCopy", "description": "Löhne",
                    "state": "Defined", "status": "Inactive", "recoverable": False,
                    "copying": False, "error": False, "options": OPTIONS, "copySets": [],
                    "rolePairs": [], "pairs": [], "backups": [], "recoveredBackup": None}
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
        ids = [self.scheduler.send("ModifySession", session=name, parameters={
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


if __name__ == "__main__":
    unittest.main()
