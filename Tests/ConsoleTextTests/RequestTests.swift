import CommandSchema
import ConsoleText
import CopyModel
import Testing

@Suite("A command from a command line")
struct RequestTests {
    private func request(_ name: String?, _ target: String?, _ parameters: String...)
        -> CommandRequest
    {
        var request = CommandRequest()
        request.name = name
        request.target = target
        request.parameters = parameters
        return request
    }

    private func body(_ request: CommandRequest) throws -> String {
        String(decoding: try request.assembled { "fresh" }.body, as: UTF8.self)
    }

    @Test("a command without parameters is id, name and session")
    func simple() throws {
        #expect(
            try body(request("Backup", "payroll"))
                == #"{"id":"fresh","command":"Backup","session":"payroll"}"#)
    }

    @Test("the case of a command's name does not matter; commands on volumes name a storage system")
    func spelling() throws {
        let assembled = try request("describestorage", "box1").assembled { "fresh" }
        #expect(assembled.name == "DescribeStorage")
        #expect(assembled.node["storage"]?.text == "box1")
        #expect(assembled.target == "box1")
    }

    @Test("a given id, not-after and dry-run are carried")
    func carried() throws {
        var backup = request("Backup", "payroll")
        backup.id = "n-1"
        backup.notAfter = "2026-11-21T02:00:00Z"
        backup.dryRun = true
        let node = try backup.assembled { "fresh" }.node
        #expect(node["id"]?.text == "n-1")
        #expect(node["dryRun"]?.bool == true)
        #expect(
            node["notAfter"]?.text.flatMap { Timestamp(rfc3339: $0) }
                == Timestamp(rfc3339: "2026-11-21T02:00:00Z"))
    }

    @Test(
        "short forms of lists are the same commands as their JSON",
        arguments: [
            (
                "AddCopySets", "copySets=box1:0100=box1:0200,box1:0101",
                #"copySets=[{"H1":"box1:0100","R1":"box1:0200"},{"H1":"box1:0101"}]"#
            ),
            (
                "AddCopySets", "copySets=box1:00fe-0100=box1:01fe-0200",
                #"copySets=[{"H1":"box1:00fe","R1":"box1:01fe"},{"H1":"box1:00ff","R1":"box1:01ff"},{"H1":"box1:0100","R1":"box1:0200"}]"#
            ),
            (
                "RemoveCopySets", "copySets=box1:0100, box1:0101",
                #"copySets=["box1:0100","box1:0101"]"#
            ),
            (
                "CreateVolumes", "volumes=0100=10GiBx4,0101-0102=1GiB",
                #"volumes=[{"id":"0100","capacity":"10GiB","safeguardedMultiplier":4},{"id":"0101","capacity":"1GiB"},{"id":"0102","capacity":"1GiB"}]"#
            ),
            ("ExpandVolumes", "volumes=0100=20GiB", #"volumes=[{"id":"0100","capacity":"20GiB"}]"#),
            (
                "SetSafeguardedCapacity", "volumes=0100=x16,0101=8",
                #"volumes=[{"id":"0100","multiplier":16},{"id":"0101","multiplier":8}]"#
            ),
            ("DeleteVolumes", "volumes=0100-0101", #"volumes=["0100","0101"]"#),
            (
                "AddCopySets", "copySets=box1:0100-0101=T1=box1:0300-0301",
                #"copySets=[{"H1":"box1:0100","T1":"box1:0300"},{"H1":"box1:0101","T1":"box1:0301"}]"#
            ),
            (
                "EstablishRelationships", "relationships=0100=0300,0101-0102=0301-0302",
                #"relationships=[{"source":"0100","target":"0300"},{"source":"0101","target":"0301"},{"source":"0102","target":"0302"}]"#
            ),
            (
                "WithdrawRelationships", "relationships=0100=0300",
                #"relationships=[{"source":"0100","target":"0300"}]"#
            ),
        ])
    func shortForms(_ command: String, _ short: String, _ json: String) throws {
        #expect(try body(request(command, "name", short)) == body(request(command, "name", json)))
        let bytes = try request(command, "name", short).assembled { "fresh" }.body
        guard case .command = CommandReader.read(body: bytes, messageID: nil) else {
            Issue.record("a worker refuses \(String(decoding: bytes, as: UTF8.self))")
            return
        }
    }

    @Test("dots make members of members, and text stays text where the contract wants it")
    func values() throws {
        let create = request(
            "CreateSession", "payroll", "type=SafeguardedCopy", "description=12",
            "options.retentionMinutes=60", "options.expireBackupOnAutoRoll=true")
        #expect(
            try body(create)
                == #"{"id":"fresh","command":"CreateSession","session":"payroll","parameters":"#
                + #"{"type":"SafeguardedCopy","description":"12","options":{"retentionMinutes":60,"expireBackupOnAutoRoll":true}}}"#
        )
        let recover = try request("Recover", "payroll", "backupId=1795226400").assembled { "x" }
        #expect(recover.node["parameters"]?["backupId"]?.text == "1795226400")
    }

    @Test(
        "what cannot be a command is a usage fault",
        arguments: [
            ("AddCopySets", "copySets=box1:0100-0102=box1:0200-0201"),
            ("AddCopySets", "copySets=a=b=c=d"), ("CreateVolumes", "volumes=0100"),
            ("CreateVolumes", "volumes=0100=1GiBxmany"), ("DeleteVolumes", "volumes=0200-0100"),
            ("Backup", "novalue"), ("Backup", "=x"), ("Backup", "a..b=1"),
        ])
    func faults(_ command: String, _ parameter: String) {
        #expect(throws: UsageFault.self) {
            try self.request(command, "name", parameter).assembled { "fresh" }
        }
    }

    @Test("a name that is no name, an id that is no id and a time that is no time are usage faults")
    func badNames() {
        #expect(throws: UsageFault.self) { try self.request("Backup", "a/b").assembled { "x" } }
        #expect(throws: UsageFault.self) { try self.request("Backup", nil).assembled { "x" } }
        #expect(throws: UsageFault.self) { try self.request(nil, "payroll").assembled { "x" } }
        #expect(throws: UsageFault.self) { try self.request("Backup", "a").assembled { "ä" } }
        var late = request("Backup", "payroll")
        late.notAfter = "tomorrow"
        #expect(throws: UsageFault.self) { try late.assembled { "x" } }
    }

    @Test("a file may be the whole command; then nothing has to be said twice")
    func wholeFile() throws {
        var fromFile = CommandRequest()
        fromFile.file = Array(#"{"id":"n-1","command":"Backup","session":"payroll"}"#.utf8)
        let assembled = try fromFile.assembled { "fresh" }
        #expect(assembled.id == "n-1")
        #expect(assembled.name == "Backup")
        #expect(assembled.target == "payroll")
        #expect(
            assembled.node == (try node(#"{"id":"n-1","command":"Backup","session":"payroll"}"#)))
    }

    @Test("a file may hold some members; the command line gives the rest")
    func partOfFile() throws {
        var add = request("AddCopySets", "payroll")
        add.file = Array(#"{"parameters":{"copySets":[{"H1":"box1:0100"}]}}"#.utf8)
        let node = try add.assembled { "fresh" }.node
        #expect(node["parameters"]?["copySets"]?[0]?["H1"]?.text == "box1:0100")
        #expect(node["id"]?.text == "fresh")
        #expect(node["session"]?.text == "payroll")
    }

    @Test(
        "a file and a command line that disagree, or a file that is not strict JSON, are usage faults",
        arguments: [
            #"{"session":"other"}"#, #"{"command":"Terminate"}"#, #"{"id":"other"}"#, #"{"id":7}"#,
            #"{"parameters":{"a":2}}"#, "[1]", "{", #"{"id":"n-1","id":"n-1"}"#,
        ])
    func disagreement(_ file: String) {
        var backup = request("Backup", "payroll", "a=1")
        backup.id = "n-1"
        backup.file = Array(file.utf8)
        #expect(throws: UsageFault.self) { try backup.assembled { "fresh" } }
    }
}
