"""Damaged saved blocks: exactly the backups that need them are lost, and told as such."""

import errno
import os
import subprocess
import unittest

import nbd

from clients import random_bytes
from harness import SiteCase, binary, clean_environment
from waiting import wait_until

BLOCK = 4096
FAILED = 4


def spoil(segment, block):
    """Turns a bit of a block of a segment over, or back."""
    with open(segment, "r+b") as file:
        file.seek(block * BLOCK + 77)
        byte = file.read(1)[0] ^ 0x10
        file.seek(block * BLOCK + 77)
        file.write(bytes([byte]))
        file.flush()
        os.fsync(file.fileno())


class Damage(SiteCase):
    def setUp(self):
        """Four backups. The first block of track 0 was overwritten after the second and the fourth, so
        the first two need the one save and the others the other; their data lie in blocks 2 and 4."""
        self.name, (self.h1,), (self.r1,) = self.site.session()
        self.backups, self.contents = [], {}
        with self.site.host(self.h1) as host:
            host.write(random_bytes(host.size), fua=True)
            for number in range(4):
                backup = self.site.backup(self.name)
                self.backups.append(backup)
                self.contents[backup] = host.read()
                if number % 2:
                    host.write(random_bytes(BLOCK), fua=True)
        saves = self.site.worker.directory / "box1" / "saves" / self.h1[-4:]
        # The write journal keeps what was written for a moment.
        wait_until(lambda: saves.exists() and self.saved(saves, 4), 10, "both blocks are saved")
        self.segment, = sorted(saves.iterdir())
        self.spoilt = []
        self.addCleanup(lambda: [spoil(self.segment, block) for block in self.spoilt])

    @staticmethod
    def saved(saves, block):
        """True where a block of the segment is more than zeroes."""
        for segment in saves.iterdir():
            with open(segment, "rb") as file:
                file.seek(block * BLOCK)
                return any(file.read(BLOCK))
        return False

    def spoil(self, block):
        """Spoils a block until the test is over, or until it is spoilt a second time."""
        spoil(self.segment, block)
        self.spoilt = list({*self.spoilt} ^ {block})

    def get(self, export):
        with self.site.host(export) as host:
            return host.read()

    def point(self, backup):
        return f"{self.name}/{backup}/{self.h1}"

    def scrub(self):
        file = self.site.worker.directory / "stillpoint.yaml"
        return subprocess.run(
            [binary(), "check", "--scrub"], capture_output=True, text=True, timeout=60, check=False,
            env=clean_environment(STILLPOINT_CONFIG=str(file)), stdin=subprocess.DEVNULL)

    def lost(self, count):
        """The ids of the backups that were told as lost, once so many were; each says why."""
        for _ in range(count):
            self.log.wait(
                lambda _: len(self.log.of(self.name, "backup.unrecoverable")) >= count, "a loss")
        events = self.log.of(self.name, "backup.unrecoverable")
        for event in events:
            self.assertIn(f"Damaged on {self.h1}: track 0, block 0", event["data"]["reason"])
            self.assertEqual((1, 0), (
                event["data"]["copySets"], event["data"]["recoverableCopySets"]))
        return [event["data"]["backupId"] for event in events]

    def check_others(self, lost):
        """Backups that need the block are refused; the others are what they were, byte for byte."""
        listed = self.scheduler.describe(self.name)["backups"]
        self.assertEqual(
            [(backup, backup not in lost) for backup in self.backups],
            [(backup["backupId"], backup["recoverable"]) for backup in listed])
        for backup in self.backups:
            if backup in lost:
                self.assertEqual(["backup-not-recoverable"], self.scheduler.codes(
                    "Recover", session=self.name, parameters={"backupId": backup}))
                continue
            self.assertEqual(self.contents[backup], self.get(self.point(backup)))
            self.scheduler.done("Recover", session=self.name, parameters={"backupId": backup})
            self.assertEqual(self.contents[backup], self.get(self.r1))
            self.scheduler.done("TerminateH1R1", session=self.name)

    def is_mended(self):
        self.scheduler.done("RefreshStates", session=self.name)
        return all(b["recoverable"] for b in self.scheduler.describe(self.name)["backups"])

    def test_a_read_that_meets_damage_loses_exactly_the_backups_that_need_the_block(self):
        first, second, *_ = self.backups
        self.spoil(2)
        with self.site.host(self.point(first)) as host:
            with self.assertRaises(nbd.Error) as failed:
                host.read(0, 2 * BLOCK)
            self.assertEqual(errno.EIO, failed.exception.errnum)
            self.assertEqual(
                self.contents[first][BLOCK:], host.read(BLOCK, host.size - BLOCK))
        self.assertEqual([first, second], self.lost(2))
        self.check_others([first, second])
        self.assertEqual("Normal", self.scheduler.describe(self.name)["status"])
        self.site.worker.restart()
        self.check_others([first, second])
        self.log.catch_up()
        self.assertEqual([first, second], self.lost(2))

    def test_what_a_scrub_finds_beside_the_worker_is_told_and_what_is_mended_comes_back(self):
        *_, third, fourth = self.backups
        self.site.worker.restart()
        self.spoil(4)
        done = self.scrub()
        self.assertEqual(FAILED, done.returncode, done.stdout + done.stderr)
        self.assertIn(f"{self.name}/{third}, backup {self.name}/{fourth}", done.stdout)
        self.assertEqual([third, fourth], self.lost(2))
        self.check_others([third, fourth])
        self.assertEqual("Severe", self.scheduler.describe(self.name)["status"])
        self.spoil(4)
        self.assertEqual(0, self.scrub().returncode)
        # The worker looks again within a second or two of that.
        wait_until(self.is_mended, 20, "the damage is mended")
        self.check_others([])
        self.log.catch_up()
        back = [event["data"]["backupId"] for event in self.log.of(self.name, "backup.recoverable")]
        self.assertEqual([*self.backups, third, fourth], back)


if __name__ == "__main__":
    unittest.main()
