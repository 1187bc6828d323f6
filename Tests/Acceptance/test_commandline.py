"""The command line, as section 8 of the wire contract has it: what it prints and how it ends."""

import json
import os
import subprocess
import time
import unittest

from harness import SiteCase, binary, clean_environment, free_port
from waiting import wait_until

COMPLETED, USAGE, REFUSED, FAILED, TIMED_OUT, UNREACHABLE = 0, 2, 3, 4, 5, 69


class CommandLine(SiteCase):
    def run_it(self, *arguments, status=COMPLETED, seconds=60, **environment):
        """Runs `stillpoint` with the site's configuration; returns what it printed."""
        file = self.site.worker.directory / "stillpoint.yaml"
        variables = clean_environment(STILLPOINT_CONFIG=str(file), **environment)
        done = subprocess.run(
            [binary(), *arguments], env=variables, capture_output=True, text=True,
            timeout=seconds, check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(status, done.returncode, (arguments, done.stdout, done.stderr))
        return done.stdout + done.stderr

    def json_of(self, *arguments, **options):
        return json.loads(self.run_it(*arguments, "--output", "json", **options))

    def test_a_session_is_made_backed_up_and_recovered_by_hand(self):
        name = self.site.name("hand")
        h1, r1 = self.site.volumes(2)
        self.run_it("send", "CreateSession", name, "--parameter", "type=SafeguardedCopy")
        pairs = json.dumps([{"H1": h1, "R1": r1}])
        self.run_it("send", "AddCopySets", name, "--parameter", f"copySets={pairs}")
        outcome = self.json_of("send", "Backup", name, "--id", f"{name} 1")
        self.assertEqual(("completed", f"{name} 1"), (outcome["outcome"], outcome["id"]))
        backup = outcome["result"]["backupId"]
        self.run_it(
            "send", "Recover", name, "--parameter", f"backupId={backup}", "--parameter",
            "backgroundCopy=true", "--wait")
        document = self.scheduler.describe(name)
        self.assertEqual((backup, 0), (
            document["recoveredBackup"], document["pairs"][0]["tracksRemaining"]))

    def test_a_repeated_id_is_answered_with_the_first_outcome(self):
        name, *_ = self.site.session()
        first = self.json_of("send", "Backup", name, "--id", name)
        self.assertEqual(
            first | {"duplicate": True}, self.json_of("send", "Backup", name, "--id", name))

    def test_a_refusal_ends_with_3_and_says_why_and_what_clears_it(self):
        name, *_ = self.site.session(sets=0)
        said = self.run_it("send", "Backup", name, status=REFUSED)
        self.assertIn("no-copy-sets", said)
        self.assertIn("AddCopySets", said)
        self.run_it("show", "nobody", status=REFUSED)

    def test_wrong_usage_ends_with_2(self):
        for arguments in (("send",), ("send", "Backup"), ("send", "Backup", "x", "--colour"),
                          ("paint",), ("show", "--output", "xml"),
                          ("send", "Backup", "x", "--parameter", "novalue")):
            self.run_it(*arguments, status=USAGE)

    def test_an_unreachable_broker_ends_with_69(self):
        uri = f"amqp://guest:guest@127.0.0.1:{free_port()}/%2f"
        self.run_it("send", "Backup", "x", status=UNREACHABLE, STILLPOINT_BROKER_URI=uri)
        self.run_it("watch", "--timeout", "5", status=UNREACHABLE, STILLPOINT_BROKER_URI=uri)

    def test_no_answer_ends_with_5(self):
        name, *_ = self.site.session()
        self.assertEqual(0, self.site.worker.terminate())
        try:
            self.run_it("send", "Backup", name, "--timeout", "1", status=TIMED_OUT)
        finally:
            self.site.worker.start()

    def test_show_is_the_document_of_the_contract(self):
        name, *_ = self.site.session()
        backup = self.site.backup(name)
        shown = self.json_of("show", name)
        document = self.scheduler.describe(name)
        self.assertEqual(document, shown.get("result", shown))
        self.assertIn(backup, self.run_it("show", name))
        self.assertIn(name, self.run_it("show"))

    def test_watch_replays_the_events_of_a_session(self):
        name, *_ = self.site.session()
        self.site.backup(name)
        self.log.catch_up()
        count = self.log.last(name)
        said = self.run_it(
            "watch", name, "--from", "first", "--count", str(count), "--output", "json")
        self.assertEqual(self.log.of(name), [json.loads(line) for line in said.splitlines()])
        self.assertIn("backup.recoverable", self.run_it(
            "watch", name, "--from", "first", "--count", str(count)))

    def test_check_finds_nothing_wrong_beside_a_running_worker(self):
        self.run_it("check")

    def test_a_scrub_reads_saved_blocks_back_and_names_the_backups_that_a_damaged_one_spoils(self):
        name, (volume,), _ = self.site.session()
        with self.site.host(volume) as host:
            host.write(b"1" * 65536, fua=True)
            kept = self.site.backup(name)
            host.write(b"2" * 4096, fua=True)
            later = self.site.backup(name)
        self.run_it("check", "--scrub")
        saves = self.site.worker.directory / "box1" / "saves" / volume[-4:]
        segment, = wait_until(lambda: self.scrubbed(saves), 10, "the save is in the index")
        self.spoil(segment)
        try:
            said = self.run_it("check", "--scrub", status=FAILED)
            self.assertIn(f"volume {volume[-4:]}, track 0, block 0", said)
            self.assertIn(f"{name}/{kept}", said)
            self.assertNotIn(f"{name}/{later}", said)
        finally:
            self.spoil(segment)
        self.run_it("check", "--scrub")

    def scrubbed(self, saves):
        """The volume's segments, once a scrub reads its save: the index is told behind the hosts' backs."""
        time.sleep(1)
        return sorted(saves.iterdir())

    @staticmethod
    def spoil(segment):
        """Turns a bit of the first saved block over, or back: it lies behind two headers."""
        with open(segment, "r+b") as file:
            file.seek(2 * 4096 + 77)
            byte = file.read(1)[0] ^ 0x10
            file.seek(2 * 4096 + 77)
            file.write(bytes([byte]))
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    unittest.main()
