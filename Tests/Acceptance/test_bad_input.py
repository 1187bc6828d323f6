"""Malformed and forbidden commands: each is refused for its reason, and none changes anything."""

import json
import unittest

from harness import Refused, SiteCase, shared_site, wait_until

MALFORMED = "malformed-command"
GARBAGE = "garbage"
SITE = {}


def setUpModule():
    """Sessions in several states, and how everything stood before the first bad command."""
    site = SiteCase.site = shared_site()
    recovered, (h1,), (r1,) = site.session(stem=GARBAGE)
    SITE.update(recovered=recovered, h1=h1, r1=r1, empty=site.session(stem=GARBAGE, sets=0)[0])
    SITE["backup"] = site.backup(recovered)
    site.scheduler.done("Recover", session=recovered, parameters={"backupId": SITE["backup"]})
    SITE["protected"], (SITE["h2"],), (SITE["r2"],) = site.session(stem=GARBAGE)
    SITE["newer"] = site.backup(SITE["protected"])
    SITE["small"], = site.volumes(1, capacity="1MiB")
    SITE["free"], = site.volumes(1)
    site.log.catch_up()
    SITE["told"] = len(site.log.events)
    SITE["before"] = everything(site)
    SITE["sent"] = 0


def everything(site):
    """Every document of the sessions and the storage."""
    names = sorted(SITE[key] for key in ("recovered", "empty", "protected"))
    return [site.scheduler.describe(name) for name in names] + [site.storage()]


def command(name, parameters=None, session="recovered", **more):
    """A well-formed command's members; `session` is a key of SITE."""
    def build():
        members = {"id": f"bad-{SITE['sent']}", "command": name, "session": SITE[session]} | more
        if parameters is not None:
            members["parameters"] = parameters() if callable(parameters) else parameters
        return members
    return build


def storage(name, volumes=None, **more):
    def build():
        members = {"id": f"bad-{SITE['sent']}", "command": name, "storage": "box1"} | more
        if volumes is not None:
            members["parameters"] = {"volumes": volumes() if callable(volumes) else volumes}
        return members
    return build


def text(body):
    """A body as it is; %s stands for a session that there is."""
    def build():
        raw = body if isinstance(body, bytes) else body.encode()
        return raw.replace(b"%s", SITE["recovered"].encode())
    return build


HEAD = '"id":"x","session":"%s","command":"Backup"'
DEEP = 40

# What is not strict JSON, or nobody's: (what is wrong with it, body, code, pointer or None where
# several would do).
UNREADABLE = [
    ("an empty body", text(b""), MALFORMED, ""),
    ("blanks only", text(b"  \n "), MALFORMED, ""),
    ("a word", text("Backup"), MALFORMED, ""),
    ("a list", text("[]"), MALFORMED, ""),
    ("a string", text('"Backup"'), MALFORMED, ""),
    ("null", text("null"), MALFORMED, ""),
    ("a number", text("7"), MALFORMED, ""),
    ("an empty object", text("{}"), MALFORMED, None),
    ("no id", text('{"session":"%s","command":"Backup"}'), "command-id-missing", None),
    ("an id that is a number",
     text('{"id":1,"session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("an id that is null", text('{"id":null,"session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("an id that is empty", text('{"id":"","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("an id of 129 characters",
     text('{"id":"' + "x" * 129 + '","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("an id with a line break",
     text('{"id":"a\\nb","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("an id with NUL",
     text('{"id":"a\\u0000","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("an id beyond ASCII",
     text('{"id":"né","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("no session", text('{"id":"x","command":"Backup"}'), MALFORMED, "/session"),
    ("a session that is a number",
     text('{"id":"x","session":7,"command":"Backup"}'), MALFORMED, "/session"),
    ("a session that is a path",
     text('{"id":"x","session":"../../etc","command":"Backup"}'), MALFORMED, "/session"),
    ("a session with a dot",
     text('{"id":"x","session":"a.b","command":"Backup"}'), MALFORMED, "/session"),
    ("a session of 65 characters",
     text('{"id":"x","session":"' + "s" * 65 + '","command":"Backup"}'), MALFORMED, "/session"),
    ("a session that is the one of strays",
     text('{"id":"x","session":"_","command":"Backup"}'), MALFORMED, "/session"),
    ("a session and a storage system",
     text('{"id":"x","session":"%s","storage":"box1","command":"Backup"}'), MALFORMED, None),
    ("a byte-order mark", text(b"\xef\xbb\xbf{" + HEAD.encode() + b"}"), MALFORMED, ""),
    ("UTF-16", lambda: json.dumps({"id": "x"}).encode("utf-16"), MALFORMED, ""),
    ("invalid UTF-8", text(b'{"id":"\xff","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("overlong UTF-8",
     text(b'{"id":"\xc0\xaf","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("a lone surrogate",
     text('{"id":"\\ud800","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("a raw control character", text(b'{"id":"a\x01","session":"%s"}'), MALFORMED, "/id"),
    ("a comment", text("{" + HEAD + "/* now */}"), MALFORMED, None),
    ("a trailing comma", text("{" + HEAD + ",}"), MALFORMED, None),
    ("single quotes", text("{'id':'x'}"), MALFORMED, None),
    ("text behind it", text("{" + HEAD + "} ;"), MALFORMED, None),
    ("a second document behind it", text("{" + HEAD + "}{}"), MALFORMED, None),
    ("an end that is missing", text("{" + HEAD), MALFORMED, None),
    ("a string that never ends", text('{"id":"x'), MALFORMED, "/id"),
    ("an id named twice",
     text('{"id":"x","id":"x","session":"%s","command":"Backup"}'), MALFORMED, "/id"),
    ("a command named twice", text("{" + HEAD + ',"command":"Terminate"}'), MALFORMED, "/command"),
    ("a command named twice, once by escape",
     text("{" + HEAD + ',"\\u0063ommand":"Terminate"}'), MALFORMED, "/command"),
    ("a parameter named twice",
     text('{"id":"x","session":"%s","command":"ExpireBackup","parameters":'
          '{"backupId":"1","backupId":"9"}}'), MALFORMED, "/parameters/backupId"),
    ("nesting 40 deep",
     text("{" + HEAD + ',"parameters":' + "[" * DEEP + "]" * DEEP + "}"), MALFORMED, None),
    ("nesting 100,000 deep", text("[" * 100_000), MALFORMED, None),
    ("a number with a leading zero",
     text("{" + HEAD + ',"dryRun":01}'), MALFORMED, "/dryRun"),
    ("a number beyond measure", text("{" + HEAD + ',"dryRun":1e400}'), MALFORMED, "/dryRun"),
    ("NaN", text("{" + HEAD + ',"dryRun":NaN}'), MALFORMED, "/dryRun"),
    ("more than 1 MiB", lambda: b" " * (1 << 20) + b"{}", "message-too-large", None),
]

P = "/parameters"

# What is JSON but not a command of the contract, and whose it is can be read.
UNFIT = [
    ("an unknown member", command("Backup", priority=1), MALFORMED, "/priority"),
    ("a member in other letters", command("Backup", DryRun=True), MALFORMED, "/DryRun"),
    ("a member with a slash in its name", command("Backup", **{"a/b~c": 1}), MALFORMED, "/a~1b~0c"),
    ("a command that is a number",
     lambda: command("")() | {"command": 3}, MALFORMED, "/command"),
    ("a command that nobody knows", command("BackUp"), "unknown-command", None),
    ("a command of ours in small letters", command("backup"), "unknown-command", None),
    ("an empty command", command(""), "unknown-command", None),
    ("parameters that are a list", command("Backup", []), MALFORMED, P),
    ("parameters that are null",
     lambda: command("Backup")() | {"parameters": None}, MALFORMED, P),
    ("a parameter that Backup has not",
     command("Backup", {"backupId": "1"}), MALFORMED, f"{P}/backupId"),
    ("dryRun as a string", command("Backup", dryRun="true"), MALFORMED, "/dryRun"),
    ("dryRun as a number", command("Backup", dryRun=1), MALFORMED, "/dryRun"),
    ("notAfter as a number", command("Backup", notAfter=4102444800), MALFORMED, "/notAfter"),
    ("notAfter without a zone",
     command("Backup", notAfter="2996-01-01T00:00:00"), MALFORMED, "/notAfter"),
    ("notAfter on a 30th of February",
     command("Backup", notAfter="2996-02-30T00:00:00Z"), MALFORMED, "/notAfter"),
    ("notAfter of yesterday",
     command("Backup", notAfter="2020-01-01T00:00:00Z"), "command-expired", None),
    ("a session command to a storage system", storage("Backup"), MALFORMED, "/storage"),
    ("a storage command to a session", command("DescribeStorage"), MALFORMED, "/session"),
    ("no backupId", command("Recover", {}), MALFORMED, f"{P}/backupId"),
    ("a backupId that is a number",
     command("Recover", {"backupId": 1}), MALFORMED, f"{P}/backupId"),
    ("a backupId with a sign",
     command("ExpireBackup", {"backupId": "-1"}), MALFORMED, f"{P}/backupId"),
    ("a backupId beyond 64 bits",
     command("ExpireBackup", {"backupId": "9" * 30}), MALFORMED, f"{P}/backupId"),
    ("backgroundCopy as a string",
     command("Recover", lambda: {"backupId": SITE["newer"], "backgroundCopy": "no"}, "protected"),
     MALFORMED, f"{P}/backgroundCopy"),
    ("a type that is missing", command("CreateSession", {}), MALFORMED, f"{P}/type"),
    ("a type that nobody knows",
     command("CreateSession", {"type": "Copy"}), MALFORMED, f"{P}/type"),
    ("an option that nobody knows",
     command("ModifySession", {"options": {"colour": "red"}}), "unknown-option", None),
    ("an option below its range",
     command("ModifySession", {"options": {"retentionMinutes": -1}}), "option-out-of-range", None),
    ("an option as a string",
     command("ModifySession", {"options": {"retentionMinutes": "60"}}), MALFORMED,
     f"{P}/options/retentionMinutes"),
    ("an option as a fraction",
     lambda: json.dumps(command("ModifySession")()).encode()[:-1]
     + b',"parameters":{"options":{"retentionMinutes":1.5}}}', MALFORMED,
     f"{P}/options/retentionMinutes"),
    ("options that are a list",
     command("ModifySession", {"options": []}), MALFORMED, f"{P}/options"),
    ("no copy sets", command("AddCopySets", {"copySets": []}), MALFORMED, f"{P}/copySets"),
    ("a copy set without H1",
     command("AddCopySets", lambda: {"copySets": [{"R1": SITE["free"]}]}), MALFORMED,
     f"{P}/copySets/0/H1"),
    ("a role that the type has not",
     command("AddCopySets", lambda: {"copySets": [{"H1": SITE["free"], "T1": "box1:0001"}]}),
     "session-type-mismatch", f"{P}/copySets/0/T1"),
    ("a volume without its storage system",
     command("AddCopySets", {"copySets": [{"H1": "0100"}]}), MALFORMED, f"{P}/copySets/0/H1"),
    ("a volume with a path in it",
     command("AddCopySets", {"copySets": [{"H1": "../box1:0100"}]}), MALFORMED,
     f"{P}/copySets/0/H1"),
    ("the second of two volumes being wrong",
     command("AddCopySets", lambda: {"copySets": [{"H1": SITE["free"]}, {"H1": "box1:01g0"}]}),
     MALFORMED, f"{P}/copySets/1/H1"),
    ("one volume twice",
     command("AddCopySets", lambda: {"copySets": [{"H1": SITE["free"]}] * 2}), MALFORMED,
     f"{P}/copySets/1/H1"),
    ("keepOnStorage as a string",
     command("RemoveCopySets", lambda: {"copySets": [SITE["h1"]], "keepOnStorage": "yes"}),
     MALFORMED, f"{P}/keepOnStorage"),
    ("a part that nobody knows",
     command("DescribeSession", {"parts": ["summary", "secrets"]}), MALFORMED, f"{P}/parts/1"),
    ("a capacity that is a number",
     storage("CreateVolumes", [{"id": "fe00", "capacity": 4096}]), MALFORMED,
     f"{P}/volumes/0/capacity"),
    ("a capacity without its unit",
     storage("CreateVolumes", [{"id": "fe00", "capacity": "4096"}]), MALFORMED,
     f"{P}/volumes/0/capacity"),
    ("a capacity that is negative",
     storage("CreateVolumes", [{"id": "fe00", "capacity": "-1GiB"}]), MALFORMED,
     f"{P}/volumes/0/capacity"),
    ("an id with its storage system",
     storage("CreateVolumes", [{"id": "box1:fe00", "capacity": "1MiB"}]), MALFORMED,
     f"{P}/volumes/0/id"),
    ("an id of five digits",
     storage("CreateVolumes", [{"id": "0fe00", "capacity": "1MiB"}]), MALFORMED,
     f"{P}/volumes/0/id"),
    ("an id twice",
     storage("CreateVolumes", [{"id": "fe00", "capacity": "1MiB"}] * 2), MALFORMED,
     f"{P}/volumes/1/id"),
    ("a multiplier that is negative",
     storage("CreateVolumes", [{"id": "fe00", "capacity": "1MiB", "safeguardedMultiplier": -1}]),
     MALFORMED, f"{P}/volumes/0/safeguardedMultiplier"),
    ("a multiplier that is missing",
     storage("SetSafeguardedCapacity", [{"id": "fe00"}]), MALFORMED, f"{P}/volumes/0/multiplier"),
    ("volumes that are missing", storage("DeleteVolumes"), MALFORMED, f"{P}/volumes"),
]

# What is well-formed and may not be done as things stand: (what, command, codes in order).
FORBIDDEN = [
    ("a session that there is",
     command("CreateSession", {"type": "SafeguardedCopy"}), ["session-exists"]),
    ("a session that there is not",
     lambda: command("Backup")() | {"session": "nobody"}, ["unknown-session"]),
    ("deletion of a session with backups", command("DeleteSession"), ["not-in-this-state"]),
    ("a backup of nothing", command("Backup", session="empty"), ["no-copy-sets"]),
    ("recovery in a session without backups",
     command("Recover", {"backupId": "1"}, "empty"), ["not-in-this-state"]),
    ("recovery of a backup that there is not",
     command("Recover", {"backupId": "1"}, "protected"), ["unknown-backup"]),
    ("expiry of a backup that there is not",
     command("ExpireBackup", {"backupId": "1"}, "protected"), ["unknown-backup"]),
    ("expiry of the backup under a recovery",
     command("ExpireBackup", lambda: {"backupId": SITE["backup"]}), ["backup-in-use"]),
    ("a background copy without recovery",
     command("InitiateBackgroundCopy", session="protected"), ["no-recovery"]),
    ("withdrawal without recovery",
     command("TerminateH1R1", session="protected"), ["no-recovery"]),
    ("removal of a copy set that there is not",
     command("RemoveCopySets", {"copySets": ["box1:fe01"]}), ["unknown-copy-set"]),
    ("removal of a copy set under a recovery",
     command("RemoveCopySets", lambda: {"copySets": [SITE["h1"]]}), ["recovery-in-place"]),
    ("a copy set that is in it",
     command("AddCopySets", lambda: {"copySets": [{"H1": SITE["h1"]}]}), ["copy-set-exists"]),
    ("a volume that there is not",
     command("AddCopySets", {"copySets": [{"H1": "box1:fe01"}]}), ["unknown-volume"]),
    ("a storage system that there is not",
     command("AddCopySets", {"copySets": [{"H1": "box9:0100"}]}), ["unknown-storage"]),
    ("a target that is too small",
     command("AddCopySets", lambda: {"copySets": [{"H1": SITE["free"], "R1": SITE["small"]}]}),
     ["target-smaller"]),
    ("a target that is its own source",
     command("AddCopySets", lambda: {"copySets": [{"H1": SITE["free"], "R1": SITE["free"]}]}),
     ["volume-in-use"]),
    ("a volume that there is already",
     storage("CreateVolumes", lambda: [{"id": SITE["free"][-4:], "capacity": "1MiB"}]),
     ["volume-exists"]),
    ("a volume in use, to delete",
     storage("DeleteVolumes", lambda: [SITE["h2"][-4:]]), ["volume-in-use"] * 2),
    ("a recovery's volume, to delete",
     storage("DeleteVolumes", lambda: [SITE["r1"][-4:]]), ["volume-in-use"] * 2),
    ("a volume that would shrink",
     storage("ExpandVolumes", lambda: [{"id": SITE["free"][-4:], "capacity": "1MiB"}]),
     ["volume-would-shrink"]),
    ("a volume of a storage system that there is not",
     storage("DeleteVolumes", ["0100"], storage="box9"), ["unknown-storage"]),
]


class BadInput(SiteCase):
    """One test a row; see `add_rows`."""

    def refusal(self, body, **properties):
        """Sends it and returns the outcome, which has to be a refusal."""
        SITE["sent"] += 1
        correlation = f"bad input {SITE['sent']}"
        key = SITE["recovered"]
        if isinstance(body, dict):
            key = body.get("session") or body.get("storage")
            body = json.dumps(body).encode()
        self.scheduler.publish(key, body, correlation_id=correlation, **properties)
        outcome = self.scheduler.reply(correlation)
        self.assertEqual("refused", outcome["outcome"], outcome)
        return outcome, body

    def assert_reason(self, outcome, code, pointer):
        reasons = [(reason["code"], reason["subject"]) for reason in outcome["refusals"]]
        self.assertEqual(code, reasons[0][0], reasons)
        if pointer is not None:
            self.assertEqual(pointer, reasons[0][1], outcome["refusals"])
        for reason in outcome["refusals"]:
            self.assertTrue(reason["message"] and reason["remedy"])

    def check_unreadable(self, build, code, pointer):
        outcome, body = self.refusal(build())
        self.assert_reason(outcome, code, pointer)
        wait_until(lambda: self.took_dead_letter(body), 20, "the dead letter, untouched")

    def took_dead_letter(self, body):
        method, _, kept = self.scheduler.channel.basic_get("stillpoint.dead.letters", auto_ack=True)
        return method is not None and kept == body

    def check_unfit(self, build, code, pointer):
        outcome, _ = self.refusal(build())
        self.assert_reason(outcome, code, pointer)
        self.assertTrue(outcome["id"])

    def check_forbidden(self, build, codes):
        outcome, _ = self.refusal(build())
        self.assertEqual(codes, [reason["code"] for reason in outcome["refusals"]])

    def test_row_a_content_type_other_than_json_is_refused(self):
        for kind in ("text/plain", "application/xml", "application/json; charset=utf-16"):
            outcome, _ = self.refusal(command("Backup")(), content_type=kind)
            self.assertEqual(MALFORMED, outcome["refusals"][0]["code"])

    def test_row_an_encoded_body_is_refused(self):
        outcome, _ = self.refusal(command("Backup")(), content_encoding="gzip")
        self.assertEqual(MALFORMED, outcome["refusals"][0]["code"])

    def test_row_a_message_id_that_is_no_id_is_refused(self):
        members = command("Backup")()
        del members["id"]
        outcome, _ = self.refusal(members, message_id="x" * 129)
        self.assertEqual(MALFORMED, outcome["refusals"][0]["code"])

    def test_the_end_nothing_has_changed_and_nothing_but_refusals_was_told(self):
        self.site.worker.check_alive()
        self.log.catch_up()
        told = self.log.events[SITE["told"]:]
        described = [event for event in told if event["data"].get("command") in (
            "DescribeSession", "DescribeStorage") and event["data"]["outcome"] == "completed"]
        others = {event["type"] for event in told if event not in described}
        self.assertEqual({"stillpoint.command.refused"}, others)
        self.assertEqual(SITE["sent"], len(told) - len(described))
        self.assertEqual(SITE["before"], everything(self.site))
        self.assertEqual(200, self.site.worker.page("readyz")[0])
        self.log.check_sequences()
        with self.assertRaises(Refused):
            self.scheduler.describe("nobody")

    def test_the_very_end_a_body_of_exactly_1_mib_is_read(self):
        body = json.dumps({"id": "just", "command": "DescribeSession", "session": SITE["empty"]})
        body = body.encode().ljust(1 << 20)
        self.scheduler.publish(SITE["empty"], body)
        self.assertEqual("completed", self.scheduler.reply("just")["outcome"])


def add_rows(rows, check):
    """A test method a row, so that each is counted and named."""
    for what, build, *expected in rows:
        def test(self, build=build, expected=expected):
            getattr(self, check)(build, *expected)
        name = "".join(c if c.isalnum() else "_" for c in f"test_row_{what}_is_refused")
        assert not hasattr(BadInput, name), name
        setattr(BadInput, name, test)


add_rows(UNREADABLE, "check_unreadable")
add_rows(UNFIT, "check_unfit")
add_rows(FORBIDDEN, "check_forbidden")

if __name__ == "__main__":
    unittest.main()
