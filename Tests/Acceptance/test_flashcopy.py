"""FlashCopy sessions over real worker, broker and NBD: what hosts read is what was flashed."""

import os
import random

import nbd

from clients import random_bytes
from harness import SiteCase, wait_until

MIB = 1 << 20
TRACK = 65536


class Flashes(SiteCase):
    """A FlashCopy session with pairs of volumes that hold random bytes."""

    def flashcopy(self, sets=1, megabytes=4, flash=True, **options):
        self.name = self.site.name("flash")
        self.scheduler.done("CreateSession", session=self.name, parameters={
            "type": "FlashCopy", "options": options})
        self.hosts = self.site.volumes(sets, f"{megabytes}MiB")
        self.targets = self.site.volumes(sets, f"{megabytes}MiB")
        self.command("AddCopySets", copySets=[
            {"H1": h1, "T1": t1} for h1, t1 in zip(self.hosts, self.targets)])
        self.h1, self.t1 = self.hosts[0], self.targets[0]
        self.content = random_bytes(megabytes * MIB)
        for h1 in self.hosts:
            self.put(h1, self.content)
        if flash:
            return self.command("Flash")
        return None

    def put(self, volume, data, offset=0):
        with self.site.host(volume) as host:
            for start in range(0, len(data), MIB):
                host.write(data[start:start + MIB], offset + start)
            host.flush()

    def get(self, export):
        with self.site.host(export) as host:
            return host.read()

    def command(self, command, **parameters):
        return self.scheduler.done(command, session=self.name, parameters=parameters or None)

    def codes(self, command, **parameters):
        return self.scheduler.codes(command, session=self.name, parameters=parameters or None)

    def on_storage(self, command, **parameters):
        return self.scheduler.done(command, storage="box1", parameters=parameters or None)

    def document(self):
        return self.scheduler.describe(self.name)

    def pair(self, number=0):
        return self.document()["pairs"][number]

    def wait_copied(self):
        """Waits until every pair holds every track."""
        return wait_until(
            lambda: (d := self.document()) and all(p["tracksRemaining"] == 0 for p in d["pairs"])
            and not d["copying"] and d, 60, f"{self.name} is copied")

    def told(self, kind):
        self.log.catch_up()
        return self.log.of(self.name, kind)

    def assert_same(self, expected, found, what):
        if expected != found:
            wrong = next(i for i, (a, b) in enumerate(zip(expected, found)) if a != b)
            self.fail(f"{what}: differs from byte {wrong} on")


class Flash(Flashes):
    def test_targets_present_the_instant_at_once_and_hosts_go_on(self):
        result = self.flashcopy(sets=2, noCopy=True)
        self.assertEqual(["full", "full"], [pair["mode"] for pair in result["pairs"]])
        self.put(self.h1, random_bytes(2 * MIB), MIB)
        self.put(self.targets[1], b"\1" * TRACK)
        self.assert_same(self.content, self.get(self.t1), "T1")
        self.assert_same(self.content, self.get(self.hosts[1]), "the other H1")
        document = self.document()
        self.assertEqual(("TargetAvailable", "Normal", True, False), (
            document["state"], document["status"], document["recoverable"], document["copying"]))
        self.assertEqual(result["flashTime"], document["flashTime"])
        self.assertTrue(document["consistencyVerified"])
        self.assertEqual(0, document["flashTimeSpread"])
        self.assertEqual([True, True], [
            event["data"]["recoverable"] for event in self.told("pair.changed")])

    def test_a_relationship_that_is_not_persistent_ends_when_it_is_copied(self):
        self.flashcopy()
        document = self.wait_copied()
        self.assertTrue(document["pairs"][0]["relationshipEnded"])
        self.assertEqual("TargetAvailable", document["pairs"][0]["state"])
        self.assertEqual(1, sum(
            event["data"]["percent"] == 100 for event in self.told("copy.progress")))
        self.command("RefreshStates")
        self.assertEqual("Normal", self.document()["status"])
        self.assertIsNone(self.site.storage()[self.t1]["relationship"])
        self.assert_same(self.content, self.get(self.t1), "T1")

    def test_change_incremental_refresh_and_reverse_restore(self):
        self.flashcopy(megabytes=8, incremental=True)
        self.wait_copied()
        changed = random_bytes(3 * TRACK)
        self.put(self.h1, changed, 10 * TRACK)
        now = bytearray(self.content)
        now[10 * TRACK:13 * TRACK] = changed
        self.assertEqual(3, self.command("QueryRelationships")["relationships"][0][
            "relationship"]["tracksOutOfSync"])
        result = self.command("Flash")
        self.assertEqual([("incremental", 3)], [
            (pair["mode"], pair["tracks"]) for pair in result["pairs"]])
        self.assert_same(bytes(now), self.get(self.t1), "T1 after the refresh")
        self.wait_copied()
        self.put(self.h1, random_bytes(2 * MIB))
        self.assertEqual({"pairs": 1, "fast": False}, self.command("ReverseRestore"))
        self.assert_same(bytes(now), self.get(self.h1), "H1 after the reverse restore")
        pair = self.pair()
        self.assertEqual((self.h1, self.t1, self.h1, True), (
            pair["copySet"], pair["source"], pair["target"], pair["reversed"]))
        self.wait_copied()
        self.assert_same(bytes(now), self.get(self.h1), "H1 when it is copied")
        self.put(self.h1, b"\3" * TRACK)
        self.assertEqual(["incremental"], [p["mode"] for p in self.command("Flash")["pairs"]])
        self.assertEqual(b"\3" * TRACK, self.get(self.t1)[:TRACK])
        self.assertFalse(self.pair()["reversed"])

    def test_the_session_goes_on_over_a_restart(self):
        self.flashcopy(megabytes=8, incremental=True, copyRateMiBps=2)
        before = self.document()
        self.site.worker.restart()
        after = self.document()
        for key in ("options", "flashTime", "state", "copySets", "consistencyVerified"):
            self.assertEqual(before[key], after[key], key)
        self.wait_copied()
        self.assert_same(self.content, self.get(self.t1), "T1")

    def test_hosts_may_not_write_to_targets_that_are_inhibited(self):
        self.flashcopy(inhibitTargetWrites=True, noCopy=True)
        with self.assertRaises(nbd.Error) as refusal:
            self.put(self.t1, b"\1" * 4096)
        self.assertIn(refusal.exception.errno, ("EPERM", "EROFS", "EACCES"))
        self.assert_same(self.content, self.get(self.t1), "T1")

    def test_revertible_refreshes_are_committed_or_taken_back(self):
        self.flashcopy(incremental=True, revertible=True)
        self.wait_copied()
        self.assertEqual(["not-revertible"], self.codes("Revert"))
        self.put(self.h1, b"\1" * MIB)
        self.command("Flash")
        self.assertEqual(b"\1" * MIB, self.get(self.t1)[:MIB])
        self.assertEqual(["not-committed"], self.codes("Flash"))
        self.command("Revert")
        self.assert_same(self.content, self.get(self.t1), "T1 after Revert")
        wait_until(lambda: not self.command("QueryRelationships")["relationships"][0][
            "relationship"]["reverting"], 30, "the revert is done")
        self.command("Flash")
        self.command("Commit")
        self.assertEqual(b"\1" * MIB, self.get(self.t1)[:MIB])
        self.assertEqual(["not-revertible"], self.codes("Commit"))


class Reverse(Flashes):
    def test_fast_reverse_restore_from_no_copy_invalidates_the_target(self):
        self.flashcopy(noCopy=True)
        self.put(self.h1, random_bytes(2 * MIB))
        self.assertEqual(["not-incremental", "no-copy-mode"], self.codes("ReverseRestore"))
        self.command("ReverseRestore", fast=True)
        self.assert_same(self.content, self.get(self.h1), "H1 at once")
        wait_until(lambda: self.pair()["state"] == "Invalid", 30, "the restore is done")
        self.assert_same(self.content, self.get(self.h1), "H1 when all is back")
        document = self.document()
        self.assertEqual(("Warning", False), (document["status"], document["recoverable"]))
        last = self.told("pair.changed")[-1]["data"]
        self.assertFalse(last["recoverable"])
        self.assertIn("invalid", last["lastResult"])
        self.command("Flash")
        self.assertEqual("Normal", self.document()["status"])
        self.assert_same(self.content, self.get(self.t1), "T1 flashed again")

    def test_every_reason_is_told_and_allow_cascade_lifts_one(self):
        self.flashcopy(incremental=True)
        self.wait_copied()
        (other,) = self.site.volumes(1)
        pair = {"source": self.h1[-4:], "target": other[-4:], "persistent": True}
        self.on_storage("EstablishRelationships", relationships=[pair])
        query = self.command("QueryRelationships")["relationships"][0]
        self.assertEqual(["several-relationships"], [
            refusal["code"] for refusal in query["reverseRestore"]["refusals"]])
        self.assertEqual(["several-relationships"], self.codes("ReverseRestore"))
        self.put(self.h1, b"\7" * MIB)
        self.command("ReverseRestore", allowCascade=True)
        self.assert_same(self.content, self.get(self.h1), "H1")


class Discoveries(Flashes):
    def test_relationships_made_outside_are_discovered(self):
        self.flashcopy(sets=2, flash=False)
        relationships = [
            {"source": self.h1[-4:], "target": self.t1[-4:], "incremental": True}]
        self.on_storage("EstablishRelationships", relationships=relationships)
        listed = {r["target"]: r for r in self.on_storage("ListRelationships")["relationships"]}
        self.assertEqual((self.h1, True, None), (
            listed[self.t1]["source"], listed[self.t1]["incremental"], listed[self.t1]["tag"]))
        found = self.command("Discover")
        self.assertEqual((1, [self.hosts[1]], 0), (
            found["found"], found["missing"], found["flashTimeSpread"]))
        document = self.document()
        self.assertEqual(("TargetAvailable", None, True, False), (
            document["state"], document["flashTime"], document["discovered"],
            document["consistencyVerified"]))
        self.assertEqual([self.h1], [pair["copySet"] for pair in document["pairs"]])

    def test_a_relationship_that_vanishes_is_lost(self):
        self.flashcopy(persistent=True, noCopy=True)
        self.on_storage("WithdrawRelationships", relationships=[
            {"source": self.h1[-4:], "target": self.t1[-4:]}])
        changes = self.command("RefreshStates")["changes"]
        self.assertEqual(1, len(changes))
        document = self.document()
        self.assertEqual(("Severe", "Lost"), (document["status"], document["pairs"][0]["state"]))
        self.command("Flash")
        self.assertEqual("Normal", self.document()["status"])

    def test_nothing_is_discovered_where_there_is_nothing(self):
        self.flashcopy(flash=False)
        self.assertEqual(0, self.command("Discover")["found"])
        self.assertEqual("Defined", self.document()["state"])


class Ends(Flashes):
    def test_terminate_with_tracks_uncopied_says_that_the_target_is_inconsistent(self):
        self.flashcopy(noCopy=True)
        self.command("Terminate")
        last = self.told("pair.changed")[-1]["data"]
        self.assertEqual(("Withdrawn", False), (last["state"], last["recoverable"]))
        self.assertEqual(
            "Withdrawn with 64 tracks not copied: the target is inconsistent.",
            last["lastResult"])
        self.assertEqual("Defined", self.document()["state"])

    def test_terminate_when_copied_waits(self):
        self.flashcopy(copyRateMiBps=2, persistent=True)
        result = self.command("Terminate", whenCopied=True)
        self.assertGreater(result["tracksRemaining"], 0)
        self.assertEqual("Terminating", self.document()["state"])
        self.assertEqual(["not-in-this-state"], self.codes("Flash"))
        wait_until(lambda: self.document()["state"] == "Defined", 60, "the session has ended")
        last = self.told("pair.changed")[-1]["data"]
        self.assertEqual(("Withdrawn", True, None), (
            last["state"], last["recoverable"], last["lastResult"]))
        self.assert_same(self.content, self.get(self.t1), "T1")

    def test_copy_sets_come_and_go_while_the_session_is_active(self):
        self.flashcopy(noCopy=True)
        h1, t1 = self.site.volumes(2)
        self.put(h1, self.content)
        self.command("AddCopySets", copySets=[{"H1": h1, "T1": t1}])
        self.assertEqual(1, len(self.document()["pairs"]))
        self.command("Flash")
        self.assertEqual(2, len(self.document()["pairs"]))
        self.command("RemoveCopySets", copySets=[self.h1])
        self.assertIsNone(self.site.storage()[self.t1]["relationship"])
        self.assert_same(self.content, self.get(t1), "the other T1")


class Sharing(Flashes):
    def test_a_target_is_the_host_volume_of_a_safeguarded_session(self):
        self.flashcopy(incremental=True)
        vault = self.site.name("vault")
        self.scheduler.done("CreateSession", session=vault, parameters={"type": "SafeguardedCopy"})
        self.scheduler.done("AddCopySets", session=vault, parameters={
            "copySets": [{"H1": self.t1}]})
        first = self.site.backup(vault)
        self.put(self.h1, b"\5" * MIB)
        self.command("Flash")
        second = self.site.backup(vault)
        self.put(self.h1, b"\6" * MIB)
        self.command("Flash")
        self.wait_copied()
        self.assert_same(self.content, self.get(f"{vault}/{first}/{self.t1}"), "the first backup")
        later = b"\5" * MIB + self.content[MIB:]
        self.assert_same(later, self.get(f"{vault}/{second}/{self.t1}"), "the second backup")
        self.assertEqual(b"\6" * MIB, self.get(self.t1)[:MIB])

    def test_two_sessions_flash_one_host_volume(self):
        self.flashcopy(noCopy=True)
        other = self.site.name("other")
        (target,) = self.site.volumes(1)
        self.scheduler.done("CreateSession", session=other, parameters={"type": "FlashCopy"})
        self.scheduler.done("AddCopySets", session=other, parameters={
            "copySets": [{"H1": self.h1, "T1": target}]})
        self.put(self.h1, b"\2" * MIB)
        self.scheduler.done("Flash", session=other)
        self.put(self.h1, b"\4" * MIB)
        self.assert_same(self.content, self.get(self.t1), "the first T1")
        self.assertEqual(b"\2" * MIB, self.get(target)[:MIB])

    def test_a_cascade_keeps_each_instant(self):
        self.flashcopy(noCopy=True)
        second = self.site.name("cascade")
        (third,) = self.site.volumes(1)
        self.scheduler.done("CreateSession", session=second, parameters={"type": "FlashCopy"})
        self.scheduler.done("AddCopySets", session=second, parameters={
            "copySets": [{"H1": self.t1, "T1": third}]})
        self.scheduler.done("Flash", session=second)
        self.put(self.h1, b"\1" * MIB)
        self.put(self.t1, b"\2" * MIB, MIB)
        self.assert_same(self.content, self.get(third), "the target of the target")

    def test_a_target_of_others_cannot_be_flashed(self):
        self.flashcopy(noCopy=True)
        rival = self.site.name("rival")
        (h1,) = self.site.volumes(1)
        self.scheduler.done("CreateSession", session=rival, parameters={"type": "FlashCopy"})
        self.scheduler.done("AddCopySets", session=rival, parameters={
            "copySets": [{"H1": h1, "T1": self.t1}]})
        self.assertEqual(["target-has-source"], self.scheduler.codes("Flash", session=rival))


class Mixed(Flashes):
    """Sessions of both types on the same volumes, against whole copies in memory.

    `first` flashes A to B, incrementally, and restores A from B; `second` flashes B to C without copying;
    `vault` backs A and B up at one instant and recovers A to D.
    """

    STEPS = int(os.environ.get("STILLPOINT_MIXED_STEPS", "120"))
    SEED = int(os.environ.get("STILLPOINT_SEED", "20261121"))

    def test_random_commands_of_both_types_on_the_same_volumes(self):
        self.chooser = random.Random(self.SEED)
        a, b, c, d = self.volumes = self.site.volumes(4, "1MiB")
        self.content = {volume: bytes(MIB) for volume in self.volumes}
        self.backups = {}
        self.recovered = None
        self.vault, self.first, self.second = (
            self.site.name(stem) for stem in ("vault", "first", "second"))
        self.make(self.vault, "SafeguardedCopy", [{"H1": a, "R1": d}, {"H1": b}])
        self.make(self.first, "FlashCopy", [{"H1": a, "T1": b}], {
            "incremental": True, "incrementalScope": "pair"})
        self.make(self.second, "FlashCopy", [{"H1": b, "T1": c}], {"noCopy": True})
        actions = (
            [self.write] * 6 + [self.flash_first] * 3 + [self.flash_second] * 2
            + [self.restore] * 2 + [self.back_up] * 3 + [self.expire, self.recover, self.forget])
        done = {}
        for step in range(self.STEPS):
            action = self.chooser.choice(actions)
            if action():
                done[action.__name__] = done.get(action.__name__, 0) + 1
            self.check(f"seed {self.SEED}, step {step}: {action.__name__}")
        print(f"    mixed sessions: {done}", flush=True)
        self.assertEqual({action.__name__ for action in actions}, set(done))

    def make(self, name, kind, sets, options=None):
        self.scheduler.done("CreateSession", session=name, parameters={
            "type": kind, "options": options or {}})
        self.scheduler.done("AddCopySets", session=name, parameters={"copySets": sets})

    def tried(self, command, session, **parameters):
        """True where it completed; it may be refused, but not fail."""
        outcome = self.scheduler.outcome(
            command, session=session, parameters=parameters or None)
        self.assertIn(outcome["outcome"], ("completed", "refused"), outcome)
        return outcome["outcome"] == "completed" and outcome

    def write(self):
        volume = self.chooser.choice(self.volumes[:3])
        length = self.chooser.choice((512, 4096, 5000, TRACK, 3 * TRACK))
        offset = self.chooser.randrange(MIB - length)
        data = random_bytes(length)
        with self.site.host(volume) as host:
            host.write(data, offset)
            host.flush()
        old = self.content[volume]
        if old is not None:
            self.content[volume] = old[:offset] + data + old[offset + length:]
        return True

    def flash_first(self):
        if not self.tried("Flash", self.first):
            return False
        self.content[self.volumes[1]] = self.content[self.volumes[0]]
        return True

    def flash_second(self):
        if not self.tried("Flash", self.second):
            return False
        self.content[self.volumes[2]] = self.content[self.volumes[1]]
        return True

    def restore(self):
        if not self.tried("ReverseRestore", self.first, allowCascade=True):
            return False
        document = self.scheduler.describe(self.first)
        a, b = self.volumes[:2]
        if document["pairs"][0]["reversed"]:
            self.content[a] = self.content[b]
        else:
            self.content[b] = self.content[a]
        return True

    def back_up(self):
        outcome = self.tried("Backup", self.vault)
        if not outcome:
            return False
        self.backups[outcome["result"]["backupId"]] = {
            volume: self.content[volume] for volume in self.volumes[:2]}
        return True

    def expire(self):
        if len(self.backups) < 3 or not self.tried(
                "ExpireBackup", self.vault, backupId=next(iter(self.backups))):
            return False
        self.backups.pop(next(iter(self.backups)))
        return True

    def recover(self):
        if not self.backups:
            return False
        backup = self.chooser.choice(list(self.backups))
        # R1 of A alone: B has none, so it leaves the session for the time.
        self.scheduler.done("RemoveCopySets", session=self.vault, parameters={
            "copySets": [self.volumes[1]], "keepOnStorage": True})
        found = self.tried("Recover", self.vault, backupId=backup)
        if found:
            self.assert_same(
                self.backups[backup][self.volumes[0]], self.get(self.volumes[3]), "R1")
            self.scheduler.done("TerminateH1R1", session=self.vault)
        self.scheduler.done("AddCopySets", session=self.vault, parameters={
            "copySets": [{"H1": self.volumes[1]}]})
        self.scheduler.done("RefreshStates", session=self.vault)
        return bool(found)

    def forget(self):
        """What the second target does not hold is not its own any more."""
        if not self.tried("Terminate", self.second):
            return False
        self.content[self.volumes[2]] = None
        return True

    def check(self, what):
        for volume in self.volumes[:3]:
            if self.content[volume] is not None:
                self.assert_same(self.content[volume], self.get(volume), f"{what}: {volume}")
        for backup in list(self.backups)[-2:]:
            for volume, content in self.backups[backup].items():
                self.assert_same(
                    content, self.get(f"{self.vault}/{backup}/{volume}"), f"{what}: {backup}")
