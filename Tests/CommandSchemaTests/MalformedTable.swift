import CopyModel
import Testing

/// A message that is refused, with what is said of it.
struct Malady: Sendable, CustomTestStringConvertible {
    let name: String
    let body: String
    let code: RefusalCode
    let pointer: String

    init(_ name: String, _ body: String, _ pointer: String, _ code: RefusalCode = .malformedCommand)
    {
        self.name = name
        self.body = body
        self.pointer = pointer
        self.code = code
    }

    /// A command to session `payroll` with these parameters.
    static func session(
        _ name: String, _ command: String, _ parameters: String, _ pointer: String,
        _ code: RefusalCode = .malformedCommand
    ) -> Malady {
        let body =
            #"{"id":"a","command":"\#(command)","session":"payroll","parameters":\#(parameters)}"#
        return Malady(name, body, "/parameters" + pointer, code)
    }

    /// A command to storage system `box1` with these volumes.
    static func volumes(
        _ name: String, _ command: String, _ volumes: String, _ pointer: String
    ) -> Malady {
        let body =
            #"""
            {"id":"a","command":"\#(command)","storage":"box1",
            "parameters":{"volumes":\#(volumes)}}
            """#
        return Malady(name, body, "/parameters/volumes" + pointer)
    }

    /// A command to storage system `box1` with these relationships.
    static func relationships(
        _ name: String, _ command: String, _ relationships: String, _ pointer: String
    ) -> Malady {
        let body =
            #"""
            {"id":"a","command":"\#(command)","storage":"box1",
            "parameters":{"relationships":\#(relationships)}}
            """#
        return Malady(name, body, "/parameters/relationships" + pointer)
    }

    var testDescription: String { name }
}

private let head = #""id":"a","session":"payroll""#

/// Faults of the outer object that leave it clear whose the command is.
let envelopeMaladies: [Malady] = [
    Malady("command missing", "{\(head)}", "/command"),
    Malady("command is a number", "{\(head),\"command\":1}", "/command"),
    Malady("command is null", "{\(head),\"command\":null}", "/command"),
    Malady("command unknown", "{\(head),\"command\":\"Explode\"}", "/command", .unknownCommand),
    Malady(
        "command in other case", "{\(head),\"command\":\"backup\"}", "/command", .unknownCommand),
    Malady(
        "command with a space", "{\(head),\"command\":\"Backup \"}", "/command", .unknownCommand),
    Malady(
        "command of later versions", "{\(head),\"command\":\"Suspend\"}", "/command",
        .unknownCommand),
    Malady("Recovering", "{\(head),\"command\":\"Recovering\"}", "/command", .unknownCommand),
    Malady("HyperSwap", "{\(head),\"command\":\"HyperSwap\"}", "/command", .unknownCommand),
    Malady("unknown member", "{\(head),\"command\":\"Backup\",\"priority\":1}", "/priority"),
    Malady("member in other case", "{\(head),\"command\":\"Backup\",\"dryrun\":true}", "/dryrun"),
    Malady("member with a slash", "{\(head),\"command\":\"Backup\",\"a/b~\":1}", "/a~1b~0"),
    Malady(
        "unknown member before an unknown command", "{\(head),\"x\":1,\"command\":\"Explode\"}",
        "/x"),
    Malady(
        "first of two faults", "{\(head),\"command\":\"Backup\",\"dryRun\":1,\"x\":1}", "/dryRun"),
    Malady(
        "first of two faults, the other way round",
        "{\(head),\"command\":\"Backup\",\"x\":1,\"dryRun\":1}", "/x"),
    Malady(
        "parameters is null", "{\(head),\"command\":\"Backup\",\"parameters\":null}",
        "/parameters"),
    Malady(
        "parameters is a list", "{\(head),\"command\":\"Backup\",\"parameters\":[]}",
        "/parameters"),
    Malady("dryRun is a string", "{\(head),\"command\":\"Backup\",\"dryRun\":\"true\"}", "/dryRun"),
    Malady("dryRun is null", "{\(head),\"command\":\"Backup\",\"dryRun\":null}", "/dryRun"),
    Malady("dryRun is a number", "{\(head),\"command\":\"Backup\",\"dryRun\":0}", "/dryRun"),
    Malady("notAfter is a number", "{\(head),\"command\":\"Backup\",\"notAfter\":1}", "/notAfter"),
    Malady("notAfter is null", "{\(head),\"command\":\"Backup\",\"notAfter\":null}", "/notAfter"),
    Malady(
        "notAfter is a day", "{\(head),\"command\":\"Backup\",\"notAfter\":\"2026-11-21\"}",
        "/notAfter"),
    Malady(
        "notAfter without a zone",
        "{\(head),\"command\":\"Backup\",\"notAfter\":\"2026-11-21T02:00:00\"}", "/notAfter"),
    Malady(
        "notAfter on February 30th",
        "{\(head),\"command\":\"Backup\",\"notAfter\":\"2026-02-30T02:00:00Z\"}", "/notAfter"),
    Malady(
        "notAfter with a space",
        "{\(head),\"command\":\"Backup\",\"notAfter\":\"2026-11-21 02:00:00Z\"}", "/notAfter"),
    Malady(
        "a session's command to a storage system",
        #"{"id":"a","command":"Backup","storage":"box1"}"#, "/storage"),
    Malady(
        "a storage system's command to a session",
        #"{"id":"a","command":"DescribeStorage","session":"payroll"}"#, "/session"),
]

/// Faults after which nobody can say whose the command is.
let ownerlessMaladies: [Malady] = [
    Malady("a list", "[]", ""), Malady("a string", "\"Backup\"", ""), Malady("null", "null", ""),
    Malady("empty object", "{}", "/command"), Malady("nothing", "", ""),
    Malady("no id", #"{"command":"Backup","session":"payroll"}"#, "/id", .commandIDMissing),
    Malady("id is a number", #"{"id":1,"command":"Backup","session":"payroll"}"#, "/id"),
    Malady("id is null", #"{"id":null,"command":"Backup","session":"payroll"}"#, "/id"),
    Malady("id is empty", #"{"id":"","command":"Backup","session":"payroll"}"#, "/id"),
    Malady("id with NUL", #"{"id":"a\u0000","command":"Backup","session":"payroll"}"#, "/id"),
    Malady("id with a newline", #"{"id":"a\nb","command":"Backup","session":"payroll"}"#, "/id"),
    Malady("id beyond ASCII", #"{"id":"é","command":"Backup","session":"payroll"}"#, "/id"),
    Malady(
        "id of 129 characters",
        #"{"id":"\#(String(repeating: "x", count: 129))","command":"Backup","session":"payroll"}"#,
        "/id"),
    Malady("no session", #"{"id":"a","command":"Backup"}"#, "/session"),
    Malady("no storage", #"{"id":"a","command":"DescribeStorage"}"#, "/storage"),
    Malady("session is a number", #"{"id":"a","command":"Backup","session":1}"#, "/session"),
    Malady("session is empty", #"{"id":"a","command":"Backup","session":""}"#, "/session"),
    Malady("session is _", #"{"id":"a","command":"Backup","session":"_"}"#, "/session"),
    Malady(
        "session starts with a hyphen", #"{"id":"a","command":"Backup","session":"-a"}"#, "/session"
    ),
    Malady("session with NUL", #"{"id":"a","command":"Backup","session":"a\u0000"}"#, "/session"),
    Malady("session with a path", #"{"id":"a","command":"Backup","session":"../etc"}"#, "/session"),
    Malady("session with a dot", #"{"id":"a","command":"Backup","session":"a.b"}"#, "/session"),
    Malady("session beyond ASCII", #"{"id":"a","command":"Backup","session":"é"}"#, "/session"),
    Malady(
        "session of 65 characters",
        #"{"id":"a","command":"Backup","session":"\#(String(repeating: "s", count: 65))"}"#,
        "/session"),
    Malady(
        "storage with a colon", #"{"id":"a","command":"DescribeStorage","storage":"b:1"}"#,
        "/storage"),
    Malady("both", #"{"id":"a","command":"Backup","session":"p","storage":"b"}"#, "/storage"),
    Malady(
        "both, turned", #"{"id":"a","command":"Backup","storage":"b","session":"p"}"#, "/storage"),
    Malady(
        "both, of storage", #"{"id":"a","command":"DescribeStorage","session":"p","storage":"b"}"#,
        "/session"),
    Malady("both, unknown", #"{"id":"a","command":"X","storage":"b","session":"p"}"#, "/session"),
    Malady(
        "session twice", #"{"id":"a","command":"Backup","session":"p","session":"p"}"#, "/session"),
    Malady("id twice", #"{"id":"a","id":"a","command":"Backup","session":"p"}"#, "/id"),
    Malady(
        "id twice by escape", #"{"id":"a","\u0069d":"b","command":"Backup","session":"p"}"#, "/id"),
    Malady(
        "dryRun twice", "{\(head),\"command\":\"Backup\",\"dryRun\":true,\"dryRun\":false}",
        "/dryRun"),
    Malady("byte-order mark", "\u{FEFF}{\(head),\"command\":\"Backup\"}", ""),
    Malady("text behind", "{\(head),\"command\":\"Backup\"} ;", ""),
    Malady("text cut short", "{\(head),\"command\":\"Back", "/command"),
    Malady("trailing comma", "{\(head),\"command\":\"Backup\",}", ""),
    Malady("fraction", "{\(head),\"command\":\"Backup\",\"dryRun\":1.0}", "/dryRun"),
    Malady("unknown member, then cut short", "{\(head),\"x\":1,\"command\":\"Back", "/x"),
    Malady("wrong type, then cut short", "{\"id\":[\"a\",", "/id"),
    Malady(
        "missing parameter, then text behind",
        "{\(head),\"command\":\"ExpireBackup\",\"parameters\":{}} x", "/parameters/backupId"),
    Malady(
        "entry without H1, then a bad number",
        "{\(head),\"command\":\"AddCopySets\",\"parameters\":{\"copySets\":[{},{\"H1\":01",
        "/parameters/copySets/0/H1"),
    Malady(
        "entry that is cut short lacks nothing",
        "{\(head),\"command\":\"AddCopySets\",\"parameters\":{\"copySets\":[{\"R1\":\"b:0000\",",
        "/parameters/copySets/0"),
    Malady(
        "list that is cut short is not empty",
        "{\(head),\"command\":\"AddCopySets\",\"parameters\":{\"copySets\":[",
        "/parameters/copySets/0"),
    Malady(
        "33 deep below a parameter that there is not",
        "{\(head),\"command\":\"Backup\",\"parameters\":{\"x\":"
            + String(repeating: "[", count: 40),
        "/parameters/x"),
    Malady(
        "33 deep before the command",
        "{\(head),\"parameters\":{\"x\":" + String(repeating: "[", count: 40),
        "/parameters/x" + String(repeating: "/0", count: 30)),
]

/// Faults of parameters; always clear whose.
let parameterMaladies: [Malady] = sessionMaladies + optionMaladies + volumeMaladies

private let sessionMaladies: [Malady] = [
    .session("a parameter for none", "Backup", #"{"backupId":"1"}"#, "/backupId"),
    .session(
        "a flag of Terminate as text", "Terminate", #"{"whenCopied":"yes"}"#, "/whenCopied"),
    .session("a flag of ReverseRestore null", "ReverseRestore", #"{"fast":null}"#, "/fast"),
    .session("a parameter for Flash", "Flash", #"{"number":"1"}"#, "/number"),
    .session("a parameter for Terminate", "Terminate", #"{"force":true}"#, "/force"),
    .session("type missing", "CreateSession", "{}", "/type"),
    .session("type is null", "CreateSession", #"{"type":null}"#, "/type"),
    .session("type of later versions", "CreateSession", #"{"type":"MetroMirror"}"#, "/type"),
    .session("type CopyPool", "CreateSession", #"{"type":"CopyPool"}"#, "/type"),
    .session("type unknown", "CreateSession", #"{"type":"safeguardedcopy"}"#, "/type"),
    .session(
        "description is a number", "CreateSession", #"{"description":1,"type":"x"}"#, "/description"
    ),
    .session(
        "description with a control character", "ModifySession", #"{"description":"a\u0007"}"#,
        "/description"),
    .session(
        "description of 1,025 characters", "ModifySession",
        #"{"description":"\#(String(repeating: "d", count: 1025))"}"#, "/description"),
    .session("options is a list", "ModifySession", #"{"options":[]}"#, "/options"),
    .session("type cannot be modified", "ModifySession", #"{"type":"SafeguardedCopy"}"#, "/type"),
    .session("copySets missing", "AddCopySets", "{}", "/copySets"),
    .session("copySets empty", "AddCopySets", #"{"copySets":[]}"#, "/copySets"),
    .session("copySets an object", "AddCopySets", #"{"copySets":{}}"#, "/copySets"),
    .session("copy set is a string", "AddCopySets", #"{"copySets":["box1:0100"]}"#, "/copySets/0"),
    .session(
        "copy set without H1", "AddCopySets", #"{"copySets":[{"R1":"b:0000"}]}"#, "/copySets/0/H1"),
    .session(
        "H1 without storage", "AddCopySets", #"{"copySets":[{"H1":"0100"}]}"#, "/copySets/0/H1"),
    .session(
        "H1 of five digits", "AddCopySets", #"{"copySets":[{"H1":"b:01000"}]}"#, "/copySets/0/H1"),
    .session(
        "H1 not hexadecimal", "AddCopySets", #"{"copySets":[{"H1":"b:01g0"}]}"#, "/copySets/0/H1"),
    .session("H1 a path", "AddCopySets", #"{"copySets":[{"H1":"../b:0100"}]}"#, "/copySets/0/H1"),
    .session(
        "R1 null", "AddCopySets", #"{"copySets":[{"H1":"b:0100","R1":null}]}"#, "/copySets/0/R1"),
    .session(
        "role B1", "AddCopySets", #"{"copySets":[{"H1":"b:0100","B1":"b:0200"}]}"#, "/copySets/0/B1"
    ),
    .session(
        "role T2", "AddCopySets", #"{"copySets":[{"H1":"b:0100","T2":"b:0200"}]}"#, "/copySets/0/T2"
    ),
    .session(
        "T1 without storage", "AddCopySets", #"{"copySets":[{"H1":"b:0100","T1":"0200"}]}"#,
        "/copySets/0/T1"),
    .session(
        "same H1 twice", "AddCopySets", #"{"copySets":[{"H1":"b:01aa"},{"H1":"b:01AA"}]}"#,
        "/copySets/1/H1"),
    .session(
        "second of two entries", "AddCopySets", #"{"copySets":[{"H1":"b:0100"},{"H1":1}]}"#,
        "/copySets/1/H1"),
    .session(
        "removal by object", "RemoveCopySets", #"{"copySets":[{"H1":"b:0100"}]}"#, "/copySets/0"),
    .session(
        "removed twice", "RemoveCopySets", #"{"copySets":["b:0100","b:0100"]}"#, "/copySets/1"),
    .session("removal of nothing", "RemoveCopySets", #"{"copySets":[]}"#, "/copySets"),
    .session("removal without sets", "RemoveCopySets", #"{"keepOnStorage":true}"#, "/copySets"),
    .session(
        "keepOnStorage a string", "RemoveCopySets",
        #"{"keepOnStorage":"no","copySets":["b:0100"]}"#,
        "/keepOnStorage"),
    .session("part unknown", "DescribeSession", #"{"parts":["summary","volumes"]}"#, "/parts/1"),
    .session("part twice", "DescribeSession", #"{"parts":["pairs","pairs"]}"#, "/parts/1"),
    .session("parts empty", "DescribeSession", #"{"parts":[]}"#, "/parts"),
    .session("parts a string", "DescribeSession", #"{"parts":"summary"}"#, "/parts"),
    .session("backup missing", "Recover", #"{"backgroundCopy":true}"#, "/backupId"),
    .session("backup is a number", "Recover", #"{"backupId":1795226400}"#, "/backupId"),
    .session("backup with a leading zero", "ExpireBackup", #"{"backupId":"01"}"#, "/backupId"),
    .session("backup with a sign", "ExpireBackup", #"{"backupId":"+1"}"#, "/backupId"),
    .session("backup negative", "ExpireBackup", #"{"backupId":"-1"}"#, "/backupId"),
    .session("backup empty", "ExpireBackup", #"{"backupId":""}"#, "/backupId"),
    .session("backup beyond time", "ExpireBackup", #"{"backupId":"1000000000000"}"#, "/backupId"),
    .session(
        "backup beyond 64 bits", "ExpireBackup", #"{"backupId":"18446744073709551616"}"#,
        "/backupId"),
    .session("all backups", "ExpireBackup", #"{"backupId":"1","all":true}"#, "/all"),
    .session(
        "backgroundCopy a number", "Recover", #"{"backupId":"1","backgroundCopy":1}"#,
        "/backgroundCopy"),
]

private let optionMaladies: [Malady] = [
    .session(
        "option unknown", "ModifySession", #"{"options":{"colour":"red"}}"#, "/options/colour",
        .unknownOption),
    .session(
        "scope unknown", "ModifySession", #"{"options":{"incrementalScope":"volume"}}"#,
        "/options/incrementalScope", .optionOutOfRange),
    .session(
        "scope a flag", "ModifySession", #"{"options":{"incrementalScope":true}}"#,
        "/options/incrementalScope"),
    .session(
        "rate beyond the largest", "CreateSession",
        #"{"type":"FlashCopy","options":{"copyRateMiBps":1000001}}"#,
        "/options/copyRateMiBps", .optionOutOfRange),
    .session(
        "incremental a text", "ModifySession", #"{"options":{"incremental":"yes"}}"#,
        "/options/incremental"),
    .session(
        "interval negative", "ModifySession", #"{"options":{"minimumMinutesBetweenBackups":-1}}"#,
        "/options/minimumMinutesBetweenBackups", .optionOutOfRange),
    .session(
        "interval beyond a year", "ModifySession",
        #"{"options":{"minimumMinutesBetweenBackups":525601}}"#,
        "/options/minimumMinutesBetweenBackups", .optionOutOfRange),
    .session(
        "retention beyond a century", "ModifySession",
        #"{"options":{"retentionMinutes":52560001}}"#,
        "/options/retentionMinutes", .optionOutOfRange),
    .session(
        "retention a string", "ModifySession", #"{"options":{"retentionMinutes":"60"}}"#,
        "/options/retentionMinutes"),
    .session(
        "autoRoll a number", "ModifySession", #"{"options":{"expireBackupOnAutoRoll":1}}"#,
        "/options/expireBackupOnAutoRoll"),
    .session(
        "a fault of form outweighs an option", "ModifySession",
        #"{"options":{"colour":"red","retentionMinutes":null}}"#, "/options/retentionMinutes"),
]

private let volumeMaladies: [Malady] = [
    .volumes("no list", "CreateVolumes", "null", ""),
    .volumes("empty list", "CreateVolumes", "[]", ""),
    .volumes("volume without id", "CreateVolumes", #"[{"capacity":"1GiB"}]"#, "/0/id"),
    .volumes("volume without capacity", "CreateVolumes", #"[{"id":"0100"}]"#, "/0/capacity"),
    .volumes(
        "id with storage", "CreateVolumes", #"[{"id":"box1:0100","capacity":"1GiB"}]"#, "/0/id"),
    .volumes("id a number", "CreateVolumes", #"[{"id":100,"capacity":"1GiB"}]"#, "/0/id"),
    .volumes(
        "volume twice", "CreateVolumes", #"[{"id":"0a00","capacity":"1GiB"},{"id":"0A00"}]"#,
        "/1/id"),
    .volumes(
        "capacity a number", "CreateVolumes", #"[{"id":"0100","capacity":4096}]"#, "/0/capacity"),
    .volumes(
        "capacity without unit", "CreateVolumes", #"[{"id":"0100","capacity":"4096"}]"#,
        "/0/capacity"),
    .volumes(
        "capacity in GB", "CreateVolumes", #"[{"id":"0100","capacity":"1GB"}]"#, "/0/capacity"),
    .volumes(
        "capacity with a space", "CreateVolumes", #"[{"id":"0100","capacity":"1 GiB"}]"#,
        "/0/capacity"),
    .volumes("capacity zero", "CreateVolumes", #"[{"id":"0100","capacity":"0B"}]"#, "/0/capacity"),
    .volumes(
        "capacity below a block", "CreateVolumes", #"[{"id":"0100","capacity":"2KiB"}]"#,
        "/0/capacity"),
    .volumes(
        "capacity in part blocks", "CreateVolumes", #"[{"id":"0100","capacity":"5000B"}]"#,
        "/0/capacity"),
    .volumes(
        "capacity beyond 128 TiB", "CreateVolumes", #"[{"id":"0100","capacity":"129TiB"}]"#,
        "/0/capacity"),
    .volumes(
        "capacity beyond 64 bits", "CreateVolumes", #"[{"id":"0100","capacity":"16777216TiB"}]"#,
        "/0/capacity"),
    .volumes(
        "multiplier beyond 10,000", "CreateVolumes",
        #"[{"id":"0100","capacity":"1GiB","safeguardedMultiplier":10001}]"#,
        "/0/safeguardedMultiplier"),
    .volumes(
        "multiplier negative", "CreateVolumes",
        #"[{"id":"0100","capacity":"1GiB","safeguardedMultiplier":-1}]"#, "/0/safeguardedMultiplier"
    ),
    .volumes(
        "member of another command", "CreateVolumes",
        #"[{"id":"0100","capacity":"1GiB","multiplier":1}]"#,
        "/0/multiplier"),
    .volumes("deletion by object", "DeleteVolumes", #"[{"id":"0100"}]"#, "/0"),
    .volumes("deleted twice", "DeleteVolumes", #"["0100","0200","0100"]"#, "/2"),
    .volumes(
        "expansion with a multiplier", "ExpandVolumes",
        #"[{"id":"0100","capacity":"1GiB","safeguardedMultiplier":1}]"#,
        "/0/safeguardedMultiplier"),
    .volumes("expansion without capacity", "ExpandVolumes", #"[{"id":"0100"}]"#, "/0/capacity"),
    .volumes("multiplier missing", "SetSafeguardedCapacity", #"[{"id":"0100"}]"#, "/0/multiplier"),
    .volumes(
        "multiplier a string", "SetSafeguardedCapacity", #"[{"id":"0100","multiplier":"4"}]"#,
        "/0/multiplier"),
    .volumes(
        "capacity for a multiplier", "SetSafeguardedCapacity",
        #"[{"id":"0100","capacity":"1GiB"}]"#,
        "/0/capacity"),
    .relationships("no pairs", "EstablishRelationships", "[]", ""),
    .relationships("pair as text", "WithdrawRelationships", #"["0100=0200"]"#, "/0"),
    .relationships(
        "pair without target", "EstablishRelationships", #"[{"source":"0100"}]"#, "/0/target"),
    .relationships(
        "pair without source", "WithdrawRelationships", #"[{"target":"0100"}]"#, "/0/source"),
    .relationships(
        "target with its system", "EstablishRelationships",
        #"[{"source":"0100","target":"box1:0200"}]"#, "/0/target"),
    .relationships(
        "target twice", "EstablishRelationships",
        #"[{"source":"0100","target":"02aa"},{"source":"0101","target":"02AA"}]"#, "/1/target"),
    .relationships(
        "rate beyond the largest of a pair", "EstablishRelationships",
        #"[{"source":"0100","target":"0200","copyRateMiBps":1000001}]"#, "/0/copyRateMiBps"),
    .relationships(
        "persistent a number", "EstablishRelationships",
        #"[{"source":"0100","target":"0200","persistent":1}]"#, "/0/persistent"),
    .relationships(
        "withdrawal with terms", "WithdrawRelationships",
        #"[{"source":"0100","target":"0200","persistent":true}]"#, "/0/persistent"),
    Malady(
        "volumes missing", #"{"id":"a","command":"DeleteVolumes","storage":"box1"}"#,
        "/parameters/volumes"),
]
