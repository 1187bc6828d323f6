import CommandSchema
import CopyModel
import Testing

@Suite("The canonical request")
struct CanonicalTests {
    private func canonical(_ text: String, messageID: String? = nil) -> String? {
        switch CommandReader.read(body: Array(text.utf8), messageID: messageID) {
        case .command(let envelope): String(decoding: envelope.canonical, as: UTF8.self)
        case .refused(let refused): String(decoding: refused.canonical, as: UTF8.self)
        case .unattributable: nil
        }
    }

    @Test("is the command without its id, sorted, without space or defaults")
    func form() {
        let text = #"""
            { "session" : "p", "parameters": {"backupId":"17","backgroundCopy":false},
              "dryRun":false, "id":"a", "command":"\u0052ecover" }
            """#
        #expect(
            canonical(text)
                == #"{"command":"Recover","parameters":{"backupId":"17"},"session":"p"}"#)
    }

    @Test(
        "is the same however the same is written",
        arguments: [
            [
                #"{"id":"a","command":"Backup","session":"p"}"#,
                #"{"command":"Backup","session":"p"}"#,
                #"{"session":"p","command":"Backup","id":"b"}"#,
                "{\n\"session\":\"\\u0070\",\"command\":\"Backup\"}",
                #"{"command":"Backup","session":"p","parameters":{}}"#,
                #"{"command":"Backup","session":"p","dryRun":false}"#,
            ],
            [
                #"{"command":"Backup","session":"p","notAfter":"2026-11-21T02:00:00Z"}"#,
                #"{"command":"Backup","session":"p","notAfter":"2026-11-21T04:00:00.000+02:00"}"#,
            ],
            [
                #"""
                {"command":"CreateVolumes","storage":"b",
                "parameters":{"volumes":[{"id":"0A00","capacity":"1GiB"}]}}
                """#,
                #"""
                {"command":"CreateVolumes","storage":"b",
                "parameters":{"volumes":[{"safeguardedMultiplier":0,
                "capacity":"1024MiB","id":"0a00"}]}}
                """#,
            ],
            [
                #"{"command":"DescribeSession","session":"p"}"#,
                #"""
                {"command":"DescribeSession","session":"p",
                "parameters":{"parts":["backups","pairs","rolePairs","copySets",
                "summary"]}}
                """#,
            ],
            [
                #"{"command":"Explode","session":"p","x":[1,{"b":1,"a":2}]}"#,
                #"{"x":[1, {"a":2, "b":1}], "session":"p", "command":"\u0045xplode"}"#,
            ],
        ])
    func equality(_ texts: [String]) {
        let forms = texts.map { canonical($0) ?? canonical($0, messageID: "m") }
        #expect(forms.count > 1 && forms.allSatisfy { $0 != nil && $0 == forms[0] }, "\(forms)")
    }

    @Test("differs wherever something else is asked")
    func inequality() {
        let texts =
            commandSamples.map(\.body)
            + [
                #"{"id":"a","command":"Backup","session":"q"}"#,
                #"{"id":"a","command":"Backup","session":"payroll","dryRun":true}"#,
                #"""
                {"id":"a","command":"Backup","session":"payroll",
                "notAfter":"2026-11-21T02:00:00Z"}
                """#,
                #"""
                {"id":"a","command":"Backup","session":"payroll",
                "notAfter":"2026-11-21T02:00:00.001Z"}
                """#,
                #"""
                {"id":"a","command":"Recover","session":"payroll",
                "parameters":{"backupId":"1795226401"}}
                """#,
                #"""
                {"id":"a","command":"RemoveCopySets","session":"payroll",
                "parameters":{"copySets":["box1:0100"],"keepOnStorage":true}}
                """#,
                #"""
                {"id":"a","command":"ModifySession","session":"payroll",
                "parameters":{"description":""}}
                """#,
                #"{"id":"a","command":"Explode","session":"payroll"}"#,
                #"{"id":"a","command":"Explode","storage":"payroll"}"#,
                #"{"id":"a","command":"Explode","session":"payroll","x":1}"#,
                #"{"id":"a","command":"Explode","session":"payroll","x":"1"}"#,
            ]
        let forms = texts.map { canonical($0) }
        #expect(!forms.contains(nil))
        #expect(Set(forms).count == texts.count)
    }

    @Test("read again, gives itself", arguments: commandSamples)
    func fixedPoint(_ sample: CommandSample) throws {
        let form = try #require(canonical(sample.body))
        #expect(canonical(form, messageID: "other") == form)
        let node = try JSONNode(document: Array(form.utf8))
        var sorted = JSONWriter()
        sorted.node(node, sorted: true)
        #expect(
            String(decoding: sorted.bytes, as: UTF8.self) == form, "so an unknown command keeps it")
    }
}
