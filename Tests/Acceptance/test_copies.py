"""Backups and recoveries of real data: what hosts read over NBD is what the contract promises."""

import random
import time
import unittest

import nbd

from clients import random_bytes
from harness import SiteCase, shared_site, wait_until

MIB = 1 << 20
BLOCK = 4096
AGING = {}


def setUpModule():
    """Sessions whose first backups have to become a minute old; they do while other tests run."""
    SiteCase.site = shared_site()
    for option in ("retentionMinutes", "minimumMinutesBetweenBackups"):
        name, *_ = SiteCase.site.session(stem="aging", options={option: 1})
        AGING[option] = name, SiteCase.site.backup(name)


class Copies(SiteCase):
    """A session with one copy set whose volumes hold random bytes, backed up."""

    def recoverable(self, megabytes=4, **options):
        self.name, (self.h1,), (self.r1,) = self.site.session(
            capacity=f"{megabytes}MiB", options=options or None)
        self.content = random_bytes(megabytes * MIB)
        self.put(self.h1, self.content)
        self.backup = self.site.backup(self.name)
        self.export = f"{self.name}/{self.backup}/{self.h1}"

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

    def document(self):
        return self.scheduler.describe(self.name)

    def wait_copied(self):
        """Waits for the event of 100 per cent, and returns the progress told of this session."""
        self.log.wait(
            lambda event: event["subject"] == self.name and event["data"].get("percent") == 100
            and event["type"] == "stillpoint.copy.progress", f"{self.name} is copied", seconds=60)
        return self.log.of(self.name, "copy.progress")

    def assert_same(self, expected, found, what):
        if expected != found:
            wrong = next(i for i, (a, b) in enumerate(zip(expected, found)) if a != b)
            self.fail(f"{what}: differs from byte {wrong} on")


class Recoveries(Copies):
    def test_a_backup_can_be_read_without_recovery_and_never_changes(self):
        self.recoverable()
        self.assert_same(self.content, self.get(self.export), "the backup")
        self.put(self.h1, random_bytes(2 * MIB), MIB)
        self.assert_same(self.content, self.get(self.export), "the backup after writes")
        with self.site.host(self.h1) as host:
            host.zero(0, MIB)
            host.trim(MIB, MIB)
            host.write(b"x" * 513, 3 * MIB + 7)
            host.flush()
        self.assert_same(self.content, self.get(self.export), "the backup after zeroes and trims")

    def test_a_backup_export_refuses_writes(self):
        self.recoverable()
        with self.site.host(self.export) as host:
            self.assertTrue(host.nbd.is_read_only())
            for write in (lambda: host.write(b"x" * BLOCK), lambda: host.zero(0, BLOCK),
                          lambda: host.trim(0, BLOCK)):
                with self.assertRaises(nbd.Error) as refusal:
                    write()
                self.assertIn(refusal.exception.errno, ("EPERM", "EROFS", "EINVAL"))
        self.assert_same(self.content, self.get(self.export), "the backup")

    def test_recovery_shows_the_backup_at_once_and_both_volumes_go_their_own_ways(self):
        self.recoverable()
        fresh = random_bytes(MIB)
        self.put(self.h1, fresh, 2 * MIB)
        result = self.command("Recover", backupId=self.backup)
        self.assertEqual(self.backup, result["backupId"])
        self.assert_same(self.content, self.get(self.r1), "R1")
        mine = random_bytes(5 * BLOCK)
        self.put(self.r1, mine, 3 * BLOCK)
        self.put(self.h1, b"\1" * MIB, 0)
        expected = bytearray(self.content)
        expected[3 * BLOCK:8 * BLOCK] = mine
        self.assert_same(bytes(expected), self.get(self.r1), "R1 after writes to both")
        expected = b"\1" * MIB + self.content[MIB:2 * MIB] + fresh + self.content[3 * MIB:]
        self.assert_same(expected, self.get(self.h1), "H1")
        self.assert_same(self.content, self.get(self.export), "the backup")
        self.assertFalse(self.document()["copying"])

    def test_partial_writes_to_an_uncopied_track_keep_the_rest_of_it(self):
        self.recoverable()
        self.command("Recover", backupId=self.backup)
        expected = bytearray(self.content)
        chooser = random.Random(1)
        with self.site.host(self.r1) as host:
            for _ in range(60):
                length = chooser.choice((1, 511, 512, 700, 4096, 5000, 70_000))
                offset = chooser.randrange(len(expected) - length)
                data = random_bytes(length)
                host.write(data, offset, fua=chooser.random() < 0.3)
                expected[offset:offset + length] = data
        self.assert_same(bytes(expected), self.get(self.r1), "R1")
        self.assert_same(self.content, self.get(self.export), "the backup")

    def test_a_background_copy_is_told_up_to_100_and_ends(self):
        self.recoverable(8)
        self.command("Recover", backupId=self.backup)
        self.command("InitiateBackgroundCopy")
        progress = self.wait_copied()
        self.log.catch_up()
        progress = self.log.of(self.name, "copy.progress")
        self.assertEqual(1, sum(event["data"]["percent"] == 100 for event in progress))
        percents = [event["data"]["percent"] for event in progress]
        self.assertEqual(sorted(percents), percents)
        self.assertEqual(0, progress[-1]["data"]["tracksRemaining"])
        document = wait_until(
            lambda: (d := self.document())["copying"] is False and d, 20, "copying is over")
        self.assertEqual((100, 0), (
            document["rolePairs"][0]["percent"], document["pairs"][0]["tracksRemaining"]))
        self.assertEqual("TargetAvailable", document["pairs"][0]["state"])
        self.assert_same(self.content, self.get(self.r1), "R1")

    def test_recovery_can_start_its_background_copy_at_once(self):
        self.recoverable()
        self.command("Recover", backupId=self.backup, backgroundCopy=True)
        self.assertEqual(["already-copying"], self.codes("InitiateBackgroundCopy"))
        self.wait_copied()
        self.command("TerminateH1R1")
        self.put(self.h1, b"\2" * MIB)
        self.command("ExpireBackup", backupId=self.backup)
        self.assert_same(self.content, self.get(self.r1), "R1 on its own")
        self.assertEqual("Defined", self.document()["state"])

    def test_progress_comes_at_most_once_a_second(self):
        self.recoverable(64)
        self.command("Recover", backupId=self.backup, backgroundCopy=True)
        moments = [event["time"] for event in self.wait_copied()[:-1]]
        seconds = [time.mktime(time.strptime(m[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + m[19:-1])
                   for m in moments]
        for earlier, later in zip(seconds, seconds[1:]):
            self.assertGreaterEqual(later - earlier, 0.99)

    def test_hosts_write_to_both_volumes_while_the_copy_runs(self):
        self.recoverable(32)
        h1, r1 = bytearray(self.content), bytearray(self.content)
        chooser = random.Random(2)
        self.command("Recover", backupId=self.backup)
        with self.site.host(self.h1) as source, self.site.host(self.r1) as target:
            self.command("InitiateBackgroundCopy")
            for _ in range(400):
                for host, model in ((source, h1), (target, r1)):
                    length = chooser.choice((512, BLOCK, 3 * BLOCK, 100_000))
                    offset = chooser.randrange(0, len(model) - length, 512)
                    data = random_bytes(length)
                    host.write(data, offset)
                    model[offset:offset + length] = data
            source.flush()
            target.flush()
        self.wait_copied()
        self.assert_same(bytes(h1), self.get(self.h1), "H1")
        self.assert_same(bytes(r1), self.get(self.r1), "R1")
        self.assert_same(self.content, self.get(self.export), "the backup")
        self.command("TerminateH1R1")
        self.assert_same(bytes(r1), self.get(self.r1), "R1 on its own")

    def test_one_recovery_stands_at_a_time(self):
        self.recoverable()
        self.assertEqual(["no-recovery"], self.codes("TerminateH1R1"))
        self.assertEqual(["no-recovery"], self.codes("InitiateBackgroundCopy"))
        self.assertEqual(["unknown-backup"], self.codes("Recover", backupId="12345"))
        self.command("Recover", backupId=self.backup)
        self.assertEqual("recovery-in-place", self.codes("Recover", backupId=self.backup)[0])
        self.command("TerminateH1R1")
        document = self.document()
        self.assertEqual(([], [], None, [self.backup]), (
            document["pairs"], document["rolePairs"], document["recoveredBackup"],
            [backup["backupId"] for backup in document["backups"]]))
        self.command("Recover", backupId=self.backup)
        self.assert_same(self.content, self.get(self.r1), "R1 recovered again")

    def test_a_recovery_moves_to_another_backup(self):
        self.recoverable()
        newer = random_bytes(4 * MIB)
        self.put(self.h1, newer)
        second = self.site.backup(self.name)
        self.put(self.h1, b"\3" * 4 * MIB)
        for backup, content in ((second, newer), (self.backup, self.content)):
            self.command("Recover", backupId=backup)
            self.assert_same(content, self.get(self.r1), f"R1 of {backup}")
            self.command("TerminateH1R1")

    def test_recovery_is_refused_without_an_r1(self):
        name, *_ = self.site.session(sets=0)
        h1, = self.site.volumes(1)
        self.scheduler.done(
            "AddCopySets", session=name, parameters={"copySets": [{"H1": h1}]})
        backup = self.site.backup(name)
        codes = self.scheduler.codes("Recover", session=name, parameters={"backupId": backup})
        self.assertEqual(["no-recovery-volume"], codes)

    def test_a_backup_of_many_volumes_is_one_instant(self):
        name, h1s, _ = self.site.session(sets=3, capacity="1MiB")
        hosts = [self.site.host(h1) for h1 in h1s]
        counter, backups = 0, []
        ids = [self.scheduler.send("Backup", session=name) for _ in range(5)]
        while len(backups) < 5:
            counter += 1
            hosts[counter % 3].write(counter.to_bytes(8, "big") * 512, 0)
            self.scheduler.connection.process_data_events(0)
            backups = [id for id in ids if id in self.scheduler.replies]
        for id in ids:
            backup = self.scheduler.reply(id)["result"]["backupId"]
            images = [self.get(f"{name}/{backup}/{h1}") for h1 in h1s]
            seen = sorted(int.from_bytes(image[:8], "big") for image in images)
            newest = seen[-1]
            # Each write was begun after the one before it was acknowledged: an instant can show
            # only a prefix of them, so the three volumes hold three numbers in a row.
            self.assertEqual([max(0, newest - 2), max(0, newest - 1), newest], seen)


class Expiry(Copies):
    def three_backups(self):
        self.recoverable()
        self.contents = {self.backup: self.content}
        for _ in range(2):
            content = random_bytes(4 * MIB)
            self.put(self.h1, content)
            self.contents[self.site.backup(self.name)] = content
        return list(self.contents)

    def listed(self):
        return [backup["backupId"] for backup in self.document()["backups"]]

    def test_a_backup_expires_with_every_earlier_one_and_later_ones_are_untouched(self):
        first, second, third = self.three_backups()
        result = self.command("ExpireBackup", backupId=second)
        self.assertEqual([first, second], result["expired"])
        self.assertEqual([third], self.listed())
        self.assert_same(
            self.contents[third], self.get(f"{self.name}/{third}/{self.h1}"), "the third")
        with self.assertRaises(nbd.Error):
            self.get(f"{self.name}/{first}/{self.h1}")
        self.log.catch_up()
        self.assertEqual([first, second], [
            event["data"]["backupId"] for event in self.log.of(self.name, "backup.expired")])
        self.assertEqual(["unknown-backup"], self.codes("ExpireBackup", backupId=second))
        self.command("ExpireBackup", backupId=third)
        self.assertEqual("Defined", self.document()["state"])
        self.assertEqual([], self.site.storage()[self.h1]["points"])

    def test_a_backup_under_a_recovery_does_not_expire_nor_do_later_ones(self):
        first, second, third = self.three_backups()
        self.command("Recover", backupId=second)
        for backup in (second, third):
            self.assertEqual(["backup-in-use"], self.codes("ExpireBackup", backupId=backup))
        self.assertEqual([first], self.command("ExpireBackup", backupId=first)["expired"])
        self.assertEqual([second, third], self.listed())
        self.assert_same(self.contents[second], self.get(self.r1), "R1")
        self.command("TerminateH1R1")
        self.command("ExpireBackup", backupId=second)
        self.assertEqual([third], self.listed())

    def fill(self, until, writes=3000):
        """Overwrites block by block, a backup every 100, until an event of this session says so."""
        def is_told():
            self.log.catch_up()
            return any(until(event) for event in self.log.of(self.name))

        with self.site.host(self.h1) as host:
            for number in range(writes):
                if number % 100 == 0:
                    self.site.backup(self.name)
                    if is_told():
                        return
                host.write(random_bytes(BLOCK), number % 256 * BLOCK, fua=True)
        # What the write journal holds rolls points off when it is saved, within a second or so.
        wait_until(is_told, 10, "something rolls off")

    def rolling(self, **options):
        self.name, (self.h1, self.other), (self.r1, _) = self.site.session(
            sets=2, capacity="1MiB", multiplier=1, options=options or None)
        self.first = self.site.backup(self.name)

    def test_full_safeguarded_capacity_rolls_the_oldest_backup_off_and_says_so_before(self):
        self.rolling()
        self.fill(lambda event: event["type"] == "stillpoint.backup.unrecoverable")
        lost = self.log.of(self.name, "backup.unrecoverable")[0]
        self.assertEqual((self.first, 2, 1), tuple(
            lost["data"][key] for key in ("backupId", "copySets", "recoverableCopySets")))
        self.assertTrue(lost["data"]["reason"])
        told = [event for event in self.log.of("box1", "storage.capacity")
                if event["data"]["volume"] == self.h1 and event["time"] <= lost["time"]]
        levels = [event["data"]["usedPercent"] for event in told]
        self.assertTrue(any(80 <= level < 95 for level in levels), levels)
        self.assertTrue(any(level >= 95 for level in levels), levels)
        backup = next(b for b in self.document()["backups"] if b["backupId"] == self.first)
        self.assertEqual((1, False), (backup["recoverableCopySets"], backup["recoverable"]))
        self.assertTrue(self.document()["error"])
        self.assertEqual(["backup-not-recoverable"], self.codes("Recover", backupId=self.first))
        newest = self.document()["backups"][-1]
        self.assertTrue(newest["recoverable"])

    def test_a_rolled_off_backup_expires_everywhere_where_the_option_says_so(self):
        self.rolling(expireBackupOnAutoRoll=True)
        self.fill(lambda event: event["type"] == "stillpoint.backup.expired")
        expired = self.log.of(self.name, "backup.expired")[0]
        self.assertEqual(self.first, expired["data"]["backupId"])
        document = self.document()
        self.assertNotIn(self.first, [backup["backupId"] for backup in document["backups"]])
        points = [point["backupId"] for point in self.site.storage()[self.other]["points"]]
        self.assertNotIn(self.first, points)
        self.assertFalse(document["error"])

    def test_a_recovery_pins_its_backup_against_roll_off(self):
        self.rolling()
        before = self.get(f"{self.name}/{self.first}/{self.h1}")
        self.command("Recover", backupId=self.first)
        with self.site.host(self.h1) as host:
            for number in range(400):
                host.write(random_bytes(BLOCK), number % 256 * BLOCK)
            host.flush()
        self.assert_same(before, self.get(self.r1), "R1")
        self.assertTrue(self.document()["backups"][0]["recoverable"])


class ZAging(Copies):
    """Last, since their backups have to be a minute old."""

    @staticmethod
    def wait_for_age(backup, seconds):
        wait_until(lambda: time.time() > int(backup) + seconds, 70, f"{backup} is {seconds} s old")

    def test_a_minimum_interval_refuses_until_it_has_passed(self):
        self.name, backup = AGING["minimumMinutesBetweenBackups"]
        if time.time() < int(backup) + 50:
            outcome = self.scheduler.outcome("Backup", session=self.name)
            self.assertEqual(["minimum-interval"], [r["code"] for r in outcome["refusals"]])
            self.assertTrue(outcome["refusals"][0]["remedy"])
        self.wait_for_age(backup, 61)
        self.command("Backup")
        self.assertEqual(["minimum-interval"], self.codes("Backup"))
        self.command("ModifySession", options={"minimumMinutesBetweenBackups": 0})
        self.command("Backup")

    def test_retention_counts_back_from_the_newest_backup(self):
        self.name, old = AGING["retentionMinutes"]
        self.wait_for_age(old, 62)
        # Old as it is, it is the newest one: nothing but a newer backup makes it expire.
        self.command("RefreshStates")
        self.assertEqual([old], [b["backupId"] for b in self.document()["backups"]])
        new = self.command("Backup")["backupId"]
        self.log.wait(
            lambda event: event["type"] == "stillpoint.backup.expired"
            and event["subject"] == self.name and event["data"]["backupId"] == old,
            "the old backup has expired")
        self.assertEqual([new], [b["backupId"] for b in self.document()["backups"]])


if __name__ == "__main__":
    unittest.main()
