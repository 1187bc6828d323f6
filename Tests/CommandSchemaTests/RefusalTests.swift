import CommandSchema
import CopyModel
import Testing

@Suite("Refused messages")
struct RefusalTests {
    private func read(_ text: String, messageID: String? = nil) -> ReadResult {
        CommandReader.read(body: Array(text.utf8), messageID: messageID)
    }

    @Test(
        "are attributed where id and subject are clear",
        arguments: envelopeMaladies + parameterMaladies)
    func attributed(_ malady: Malady) throws {
        guard case .refused(let refused) = read(malady.body) else {
            Issue.record("\(read(malady.body))")
            return
        }
        #expect(refused.id.text == "a")
        #expect(["payroll", "box1"].contains(refused.subject.text))
        #expect(refused.isForStorage == (refused.subject.text == "box1"))
        #expect(refused.refusals.map(\.code) == [malady.code], "\(refused.refusals)")
        #expect(refused.refusals.first?.subject == malady.pointer, "\(refused.refusals)")
        try checkSentences(refused.refusals)
    }

    @Test("are nobody's where id or subject is not clear", arguments: ownerlessMaladies)
    func unattributable(_ malady: Malady) throws {
        guard case .unattributable(let refused) = read(malady.body) else {
            Issue.record("\(read(malady.body))")
            return
        }
        #expect(refused.refusal.code == malady.code, "\(refused.refusal)")
        #expect(refused.refusal.subject == malady.pointer, "\(refused.refusal)")
        try checkSentences([refused.refusal])
    }

    private func checkSentences(_ refusals: [Refusal]) throws {
        for refusal in refusals {
            #expect(refusal.message.last == "." && !refusal.message.contains("\n"))
            #expect(refusal.remedy.last == ".")
            #expect(refusal.message.utf8.count < 1000)
        }
    }

    @Test("are at least 60 kinds")
    func tableSize() {
        let all = envelopeMaladies + ownerlessMaladies + parameterMaladies
        #expect(all.count >= 60)
        #expect(Set(all.map(\.name)).count == all.count)
    }

    @Test("name every option that is unknown or out of range, in order")
    func everyOption() {
        let body = #"""
            {"id":"a","session":"payroll","command":"ModifySession","parameters":{"options":
            {"b":1,"retentionMinutes":-5,"a":2,"minimumMinutesBetweenBackups":9999999}}}
            """#
        guard case .refused(let refused) = read(body) else {
            Issue.record("\(read(body))")
            return
        }
        #expect(
            refused.refusals.map(\.code) == [
                .unknownOption, .optionOutOfRange, .unknownOption, .optionOutOfRange,
            ])
        #expect(
            refused.refusals.map(\.subject) == [
                "/parameters/options/b", "/parameters/options/retentionMinutes",
                "/parameters/options/a", "/parameters/options/minimumMinutesBetweenBackups",
            ])
    }

    @Test("of more than a megabyte are not even looked at")
    func tooLarge() {
        let body = [UInt8](repeating: UInt8(ascii: " "), count: 1_048_577)
        for (bytes, announced) in [(body, nil), (Array(body.prefix(10)), 1_048_577)] {
            let result = CommandReader.read(body: bytes, messageID: "m", receivedSize: announced)
            guard case .unattributable(let refused) = result else {
                Issue.record("\(result)")
                return
            }
            #expect(refused.refusal.code == .messageTooLarge)
            #expect(refused.id == CommandID("m"), "the answer can name it all the same")
        }
        let start = Array(#"{"id":"a","command":"Backup","session":"payroll"}"#.utf8)
        let largest = start + body.prefix(1_048_576 - start.count)
        guard case .command = CommandReader.read(body: largest, messageID: nil) else {
            Issue.record("a megabyte to the byte is allowed")
            return
        }
    }

    @Test(
        "may be JSON by property, or by none",
        arguments: [
            (nil, nil, true), ("application/json", nil, true), ("Application/JSON", "utf-8", true),
            ("application/json; charset=utf-8", nil, true),
            ("application/json;charset=\"UTF-8\"", "", true),
            ("application/json; charset=utf-16", nil, false), ("text/plain", nil, false),
            ("", nil, false),
            ("application/cloudevents+json", nil, false), ("application/json", "gzip", false),
            ("application/jsonx", nil, false), (nil, "identity", true), (nil, "deflate", false),
        ] as [(String?, String?, Bool)])
    func contentType(_ type: String?, _ encoding: String?, _ isRead: Bool) {
        let result = CommandReader.read(
            body: Array(#"{"id":"a","command":"Backup","session":"payroll"}"#.utf8), messageID: "a",
            contentType: type, contentEncoding: encoding)
        switch result {
        case .command: #expect(isRead)
        case .refused: Issue.record("nobody knows whose it is")
        case .unattributable(let refused):
            #expect(!isRead)
            #expect(refused.refusal.code == .malformedCommand)
            #expect(refused.id == CommandID("a"))
        }
    }

    @Test("tell a partial id and command only where these are beyond doubt")
    func partialKnowledge() {
        guard case .unattributable(let cut) = read(#"{"id":"a","command":"Backup","ses"#),
            case .unattributable(let disagreeing) = read(
                #"{"id":"a","command":"Backup","session":"p"}"#, messageID: "b"),
            case .unattributable(let doubtful) = read(
                #"{"id":7,"command":"Backup","session":"p"}"#, messageID: "b"),
            case .unattributable(let ownerless) = read(#"{"command":"Backup"}"#, messageID: "b")
        else {
            Issue.record("one of them was attributed")
            return
        }
        #expect(cut.id?.text == "a" && cut.commandName == "Backup")
        #expect(disagreeing.id == nil && disagreeing.refusal.subject == "/id")
        #expect(doubtful.id == nil && doubtful.refusal.subject == "/id")
        #expect(ownerless.id?.text == "b" && ownerless.refusal.subject == "/session")
    }

    @Test(
        "with a message_id that is none are malformed at the id",
        arguments: [
            "", "é", "a\nb", String(repeating: "x", count: 129),
        ])
    func badMessageID(_ messageID: String) {
        for body in [
            #"{"command":"Backup","session":"p"}"#, #"{"id":"a","command":"Backup","session":"p"}"#,
        ] {
            guard case .unattributable(let refused) = read(body, messageID: messageID) else {
                Issue.record("\(read(body, messageID: messageID))")
                return
            }
            #expect(refused.refusal.code == .malformedCommand && refused.refusal.subject == "/id")
            #expect(refused.id == nil)
        }
    }

    @Test("become outcomes that say what is known")
    func outcomes() throws {
        let now = Timestamp(milliseconds: 1_795_226_400_114)
        guard case .refused(let refused) = read(envelopeMaladies[3].body),
            case .unattributable(let ownerless) = read("[")
        else {
            Issue.record("read otherwise")
            return
        }
        let told = refused.outcome(receivedAt: now, startedAt: now, finishedAt: now, revision: 7)
        #expect(told.kind == .refused && told.id == refused.id && told.subject == refused.subject)
        #expect(
            told.command == "Explode" && told.revision == 7 && told.refusals == refused.refusals)
        let whose = ownerless.outcome(receivedAt: now, finishedAt: now)
        #expect(whose.subject == nil && whose.id == nil && whose.command == nil)
        #expect(whose.refusals == [ownerless.refusal] && whose.kind == .refused)
    }
}
