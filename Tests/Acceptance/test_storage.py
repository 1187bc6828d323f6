"""Storage systems and their volumes, by commands and by NBD."""

import errno
import unittest

import nbd

from clients import random_bytes
from harness import Host, SiteCase, export_names
from waiting import wait_until

MIB = 1 << 20


class Volumes(SiteCase):
    def storage_codes(self, command, volumes, storage="box1"):
        return self.scheduler.codes(command, storage=storage, parameters={"volumes": volumes})

    def test_new_volumes_are_described_and_exported_and_hold_zeroes(self):
        name, = self.site.volumes(1, capacity="3MiB", multiplier=5)
        volume = self.site.storage()[name]
        self.assertEqual((3 * MIB, 5, 0, [], None), tuple(volume[key] for key in (
            "capacityBytes", "safeguardedMultiplier", "safeguardedUsedBytes", "points",
            "relationship")))
        self.assertIn(name, export_names(self.site.worker.nbd_port))
        with self.site.host(name) as host:
            self.assertEqual(3 * MIB, host.size)
            self.assertEqual(bytes(3 * MIB), host.read())

    def test_volumes_are_created_all_or_none(self):
        taken, = self.site.volumes(1)
        volumes = [{"id": "ff01", "capacity": "1MiB"}, {"id": taken[-4:], "capacity": "1MiB"}]
        self.assertEqual(["volume-exists"], self.storage_codes("CreateVolumes", volumes))
        self.assertNotIn("box1:ff01", self.site.storage())

    def test_volumes_grow_and_never_shrink_and_keep_what_they_hold(self):
        name, = self.site.volumes(1, capacity="1MiB")
        data = random_bytes(MIB)
        with self.site.host(name) as host:
            host.write(data, fua=True)
        entry = {"id": name[-4:], "capacity": "2MiB"}
        self.scheduler.done("ExpandVolumes", storage="box1", parameters={"volumes": [entry]})
        with self.site.host(name) as host:
            self.assertEqual(data + bytes(MIB), host.read())
        entry["capacity"] = "1MiB"
        self.assertEqual(["volume-would-shrink"], self.storage_codes("ExpandVolumes", [entry]))
        self.assertEqual(2 * MIB, self.site.storage()[name]["capacityBytes"])

    def test_a_backup_needs_safeguarded_capacity_and_the_command_gives_it(self):
        session, *_ = self.site.session(sets=0)
        h1, = self.site.volumes(1, multiplier=0)
        self.scheduler.done(
            "AddCopySets", session=session, parameters={"copySets": [{"H1": h1}]})
        codes = self.scheduler.codes("Backup", session=session)
        self.assertEqual(["no-safeguarded-capacity"], codes)
        self.scheduler.done("SetSafeguardedCapacity", storage="box1", parameters={
            "volumes": [{"id": h1[-4:], "multiplier": 16}]})
        self.assertEqual(16, self.site.storage()[h1]["safeguardedMultiplier"])
        self.site.backup(session)

    def test_volumes_in_use_are_not_deleted_and_others_are(self):
        session, (h1,), (r1,) = self.site.session()
        for volume in (h1, r1):
            self.assertEqual(
                ["volume-in-use"], self.storage_codes("DeleteVolumes", [volume[-4:]]))
        self.site.backup(session)
        self.scheduler.done("RemoveCopySets", session=session, parameters={
            "copySets": [h1], "keepOnStorage": True})
        self.assertEqual(["volume-in-use"], self.storage_codes("DeleteVolumes", [h1[-4:]]))
        self.scheduler.done(
            "DeleteVolumes", storage="box1", parameters={"volumes": [r1[-4:]]})
        self.assertNotIn(r1, self.site.storage())
        self.assertNotIn(r1, export_names(self.site.worker.nbd_port))
        self.assertEqual(["unknown-volume"], self.storage_codes("DeleteVolumes", [r1[-4:]]))
        with self.assertRaises(nbd.Error):
            self.site.host(r1)

    def test_unknown_storage_and_volumes_are_named(self):
        outcome = self.scheduler.outcome("DescribeStorage", storage="box9")
        self.assertEqual(("refused", "unknown-storage", "box9"), (
            outcome["outcome"], outcome["refusals"][0]["code"], outcome["storage"]))
        for command, entry in (
                ("ExpandVolumes", {"id": "fffd", "capacity": "1GiB"}), ("DeleteVolumes", "fffd"),
                ("SetSafeguardedCapacity", {"id": "fffd", "multiplier": 1})):
            self.assertEqual(["unknown-volume"], self.storage_codes(command, [entry]), command)

    def test_storage_commands_are_executed_once_too(self):
        self.log.catch_up()
        parameters = {"volumes": [{"id": "ff02", "capacity": "1MiB"}]}
        id = self.scheduler.send("CreateVolumes", storage="box1", parameters=parameters)
        self.scheduler.send("CreateVolumes", storage="box1", parameters=parameters, id=id)
        first, second = self.scheduler.reply(id), self.scheduler.reply(id, 2)
        self.assertEqual(("completed", False), (first["outcome"], first["duplicate"]))
        self.assertEqual(first | {"duplicate": True}, second)
        codes = self.storage_codes("CreateVolumes", parameters["volumes"])
        self.assertEqual(["volume-exists"], codes)
        self.log.catch_up()
        told = [e["data"] for e in self.log.of("box1") if e.get("commandid") == id]
        self.assertEqual([first, second], told)


class Hosts(SiteCase):
    def test_what_one_connection_flushed_another_reads(self):
        name, = self.site.volumes(1)
        with self.site.host(name) as writer, self.site.host(name) as reader:
            self.assertTrue(reader.nbd.can_multi_conn())
            data = random_bytes(70_000)
            writer.write(data, 12_345)
            writer.flush()
            self.assertEqual(data, reader.read(12_345, 70_000))

    def test_the_commands_of_the_contract_are_offered(self):
        name, = self.site.volumes(1)
        with self.site.host(name) as host:
            for offer in ("can_flush", "can_fua", "can_zero", "can_trim", "can_multi_conn"):
                self.assertTrue(getattr(host.nbd, offer)(), offer)
            self.assertTrue(host.nbd.get_structured_replies_negotiated())
            self.assertEqual("newstyle-fixed", host.nbd.get_protocol())
            self.assertFalse(host.nbd.is_read_only())

    def test_a_backup_program_can_pull_only_what_has_changed_since_a_backup(self):
        session, (h1,), _ = self.site.session()
        with self.site.host(h1) as host:
            host.write(random_bytes(4 * MIB), fua=True)
            first = self.site.backup(session)
            for offset, length in ((0, 100), (70_000, 65_536), (MIB, 4096), (3 * MIB - 1, 2)):
                host.write(random_bytes(length), offset)
            second = self.site.backup(session)
            host.write(random_bytes(4096), 2 * MIB)
        blocks = {second: 1 + 17 + 1 + 2, None: 1 + 17 + 1 + 2 + 1}
        context = f"stillpoint:changed-since:{first}"
        for backup, changed in blocks.items():
            export = f"{session}/{backup}/{h1}" if backup else h1
            with self.site.host(export, contexts=[context, "base:allocation"]) as host, \
                    self.site.host(f"{session}/{first}/{h1}") as base:
                now, image = host.read(), bytearray(base.read())
                offset = moved = 0
                for length, flags in host.extents(context=context):
                    if flags & 1:
                        image[offset:offset + length] = now[offset:offset + length]
                        moved += length
                    offset += length
                self.assertEqual(len(now), offset)
                self.assertEqual(now, bytes(image))
                self.assertEqual(changed * 4096, moved)
                self.assertEqual(len(now), sum(length for length, _ in host.extents()))
        with self.site.host(h1, contexts=[context]) as host:
            self.scheduler.done("ExpireBackup", session=session, parameters={"backupId": first})
            with self.assertRaises(nbd.Error):
                host.extents(context=context)
            self.assertEqual(4 * MIB, len(host.read()))
        with self.site.host(h1, contexts=[context]) as host:
            self.assertFalse(host.nbd.can_meta_context(context))

    def test_zeroes_and_trims_read_as_zeroes_and_show_in_the_block_status(self):
        name, = self.site.volumes(1)
        with self.site.host(name, contexts=["base:allocation"]) as host:
            self.assertTrue(host.nbd.can_meta_context("base:allocation"))
            host.write(random_bytes(4 * MIB))
            host.zero(0, MIB)
            host.zero(MIB, MIB, fua=True, may_trim=False)
            host.trim(2 * MIB, MIB)
            host.flush()
            self.assertEqual(bytes(2 * MIB), host.read(0, 2 * MIB))
            self.assertEqual(4 * MIB, sum(length for length, _ in host.extents()))
            self.assertEqual(0, host.extents(3 * MIB, MIB)[0][1] & nbd.STATE_HOLE)
        with self.site.host(name, contexts=["base:allocation"]) as host:
            self.assertEqual(bytes(2 * MIB), host.read(0, 2 * MIB))

    def test_a_fresh_volume_is_one_hole(self):
        name, = self.site.volumes(1)
        with self.site.host(name, contexts=["base:allocation"]) as host:
            self.assertEqual(
                {nbd.STATE_HOLE | nbd.STATE_ZERO}, {flags for _, flags in host.extents()})

    def test_requests_beyond_the_end_are_refused_and_the_connection_lives(self):
        name, = self.site.volumes(1, capacity="1MiB")
        with self.site.host(name) as host:
            for request in (lambda: host.read(MIB, 512), lambda: host.write(b"x" * 512, MIB - 1),
                            lambda: host.zero(MIB - 512, 1024), lambda: host.trim(2 * MIB, 512)):
                with self.assertRaises(nbd.Error) as refusal:
                    request()
                self.assertIn(refusal.exception.errnum, (errno.EINVAL, errno.ENOSPC))
            self.assertEqual(bytes(MIB), host.read())

    def test_unaligned_writes_keep_their_neighbours(self):
        name, = self.site.volumes(1, capacity="1MiB")
        with self.site.host(name) as host:
            model = bytearray(random_bytes(MIB))
            host.write(bytes(model))
            for offset, length in ((0, 1), (511, 2), (4095, 2), (65_535, 65_540), (MIB - 1, 1)):
                data = random_bytes(length)
                host.write(data, offset)
                model[offset:offset + length] = data
            self.assertEqual(bytes(model), host.read())

    def test_names_that_are_no_exports_are_refused(self):
        name, *_ = self.site.session()
        for export in ("", "box1", "box1:", "box9:0100", "box1:00ff", f"{name}/1/box1:0100",
                       "../box1:0100", "x" * 3000):
            with self.assertRaises(nbd.Error, msg=export):
                Host(self.site.worker.nbd_port, export)



class Space(SiteCase):
    def test_a_backup_between_others_gives_back_what_only_it_needed_and_they_stay_exact(self):
        """Two sessions have the same H1, so one's backups lie between the other's."""
        name, (h1,), (r1,) = self.site.session("keeper")
        other = self.site.name("other")
        self.scheduler.done(
            "CreateSession", session=other, parameters={"type": "SafeguardedCopy"})
        self.scheduler.done(
            "AddCopySets", session=other, parameters={"copySets": [{"H1": h1}]})
        contents = {}
        with self.site.host(h1) as host:
            for session in (name, other, name):
                host.write(random_bytes(host.size), fua=True)
                backup = self.site.backup(session)
                contents[session, backup] = host.read()
            host.write(random_bytes(host.size), fua=True)
        used = self.site.storage()[h1]["safeguardedUsedBytes"]
        between = next(backup for session, backup in contents if session == other)
        del contents[other, between]
        self.scheduler.done("ExpireBackup", session=other, parameters={"backupId": between})
        # The newest has its own copy of the volume, the oldest too; a third was for the one between.
        wait_until(
            lambda: self.site.storage()[h1]["safeguardedUsedBytes"] <= used - 4 * MIB, 20,
            "the space is given back")
        for again in (False, True):
            if again:
                self.site.worker.restart()
            self.assertLessEqual(
                self.site.storage()[h1]["safeguardedUsedBytes"], used - 4 * MIB)
            for (session, backup), content in contents.items():
                with self.site.host(f"{session}/{backup}/{h1}") as host:
                    self.assertEqual(content, host.read())
        for (session, backup), content in contents.items():
            self.scheduler.done("Recover", session=session, parameters={"backupId": backup})
            with self.site.host(r1) as host:
                self.assertEqual(content, host.read())
            self.scheduler.done("TerminateH1R1", session=session)


if __name__ == "__main__":
    unittest.main()
