import Testing

@testable import NBDServer

@Suite("What is agreed in negotiation")
struct NegotiationAgreementTests {
    /// The terms on which an export is entered after these options.
    private func terms(after options: [UInt8], name: String = "v") -> TransmissionTerms? {
        var machine = Negotiation.begun()
        var rest = options
        while !rest.isEmpty {
            let length = rest.withUnsafeBytes { 16 + Int($0.bigEndian(at: 12, as: UInt32.self)) }
            for step in machine.feed(Array(rest.prefix(length))) {
                if case .look = step { _ = machine.looked(someShape) }
            }
            rest.removeFirst(length)
        }
        _ = machine.feed(Message.go(name))
        guard case .enter(_, let terms) = machine.opened(.success(someShape)) else { return nil }
        return terms
    }

    private let structured = Message.option(.structuredReply)

    @Test("structured replies are used when they were asked for")
    func structuredReplies() {
        #expect(terms(after: [])?.structuredReplies == false)
        #expect(terms(after: structured)?.structuredReplies == true)
    }

    @Test("base:allocation counts only for the export that it was selected for")
    func contextOfExport() {
        let set = Message.option(.setMetaContext, Message.contexts("v", ["base:allocation"]))
        #expect(terms(after: structured + set)?.contexts.map(\.identifier) == [1])
        #expect(terms(after: structured + set, name: "w")?.contexts.isEmpty == true)
    }

    @Test("a later SET_META_CONTEXT replaces an earlier one, even when it is invalid")
    func contextReplaced() {
        let set = Message.option(.setMetaContext, Message.contexts("v", ["base:allocation"]))
        let none = Message.option(.setMetaContext, Message.contexts("v", []))
        let invalid = Message.option(.setMetaContext, [1, 2, 3])
        #expect(terms(after: structured + set + none)?.contexts.isEmpty == true)
        #expect(terms(after: structured + set + invalid)?.contexts.isEmpty == true)
        #expect(terms(after: structured + invalid + set)?.contexts.map(\.identifier) == [1])
    }

    @Test("contexts without structured replies are invalid", arguments: [9, 10])
    func contextsNeedStructured(code: UInt32) {
        var machine = Negotiation.begun()
        let data = Message.contexts("v", ["base:allocation"])
        #expect(machine.feed(Message.option(code, data)).firstReply == .invalid)
    }

    @Test(
        "a listing without query, or of the namespace, tells base:allocation; a selection does not")
    func wildcards() {
        let cases: [(OptionCode, [String], Bool)] = [
            (.listMetaContext, [], true), (.listMetaContext, ["base:"], true),
            (.listMetaContext, ["base:allocation"], true), (.listMetaContext, ["qemu:"], false),
            (.setMetaContext, [], false), (.setMetaContext, ["base:"], false),
            (.setMetaContext, ["qemu:dirty-bitmap:b", "base:allocation"], true),
            (.setMetaContext, ["x", "base:other"], false),
        ]
        for (option, queries, isTold) in cases {
            var machine = Negotiation.begun()
            _ = machine.feed(structured)
            let steps = machine.feed(Message.option(option, Message.contexts("v", queries)))
            #expect(steps == [.look("v")])
            let reply = [machine.looked(someShape)].firstReply
            #expect(reply == (isTold ? .metaContext : .acknowledge), "\(option) \(queries)")
        }
    }

    @Test("the changes since each backup of an export can be listed and selected, no others")
    func changeContexts() {
        var shape = someShape
        shape.changeBases = ["1795226400", "1795226401"]
        let prefix = "stillpoint:changed-since:"
        let cases: [(OptionCode, [String], [String])] = [
            (
                .listMetaContext, [],
                ["base:allocation", prefix + "1795226400", prefix + "1795226401"]
            ),
            (.listMetaContext, ["stillpoint:"], [prefix + "1795226400", prefix + "1795226401"]),
            (.listMetaContext, [prefix], [prefix + "1795226400", prefix + "1795226401"]),
            (.setMetaContext, [prefix], []),
            (.setMetaContext, [prefix + "1795226401"], [prefix + "1795226401"]),
            (
                .setMetaContext, [prefix + "1795226400", prefix + "1", "base:allocation"],
                ["base:allocation", prefix + "1795226400"]
            ),
        ]
        for (option, queries, wanted) in cases {
            var machine = Negotiation.begun()
            _ = machine.feed(structured)
            _ = machine.feed(Message.option(option, Message.contexts("v", queries)))
            guard case .send(let bytes) = machine.looked(shape) else {
                Issue.record("no answer to \(option) \(queries)")
                continue
            }
            let told = String(decoding: bytes, as: UTF8.self)
            for name in ["base:allocation", prefix + "1795226400", prefix + "1795226401"] {
                #expect(
                    told.contains(name) == wanted.contains(name), "\(option) \(queries) \(name)")
            }
        }
    }

    @Test("no more contexts are selected than a reply has room for")
    func mostContexts() {
        var shape = someShape
        shape.changeBases = (0..<20).map { "17952264\($0 + 10)" }
        var machine = Negotiation.begun()
        _ = machine.feed(structured)
        let queries = shape.changeBases.map { "stillpoint:changed-since:" + $0 }
        _ = machine.feed(Message.option(.setMetaContext, Message.contexts("v", queries)))
        _ = machine.looked(shape)
        _ = machine.feed(Message.go("v"))
        guard case .enter(_, let terms) = machine.opened(.success(shape)) else {
            Issue.record("the export was not entered")
            return
        }
        #expect(terms.contexts.map(\.identifier) == (1...8).map { UInt32($0) })
    }

    @Test("contexts of an unknown export are refused")
    func contextsUnknown() {
        var machine = Negotiation.begun()
        _ = machine.feed(structured)
        _ = machine.feed(Message.option(.setMetaContext, Message.contexts("v", [])))
        #expect([machine.looked(nil)].firstReply == .unknown)
    }

    @Test("queries whose lengths do not add up are invalid")
    func badQueries() {
        let count = Message.integer(UInt32(0xFFFF_FFFF))
        let bad: [[UInt8]] = [
            [], Message.name("v"), Message.name("v") + count, Message.contexts("v", []) + [0],
            Message.name("v") + Message.integer(UInt32(1)) + count,
            Message.integer(UInt32(4097)) + [UInt8](repeating: 97, count: 4097) + [0, 0, 0, 0],
        ]
        for data in bad {
            var machine = Negotiation.begun()
            _ = machine.feed(structured)
            #expect(machine.feed(Message.option(.setMetaContext, data)).firstReply == .invalid)
        }
    }

    // MARK: TLS, as far as the handshake owes it

    @Test("STARTTLS is refused by policy where TLS is not set up, and negotiation goes on")
    func noTLS() {
        var machine = Negotiation.begun()
        let steps = machine.feed(Message.option(.startTLS) + Message.option(.list))
        #expect(steps.firstReply == .policy)
        #expect(steps.last == .list)
    }

    @Test("where TLS is required nothing but STARTTLS and ABORT is answered before it")
    func requiredTLS() {
        for code: OptionCode in [.list, .inform, .go, .structuredReply, .setMetaContext] {
            var machine = Negotiation.begun(.required)
            #expect(machine.feed(Message.option(code)).firstReply == .securityRequired)
        }
        var machine = Negotiation.begun(.required)
        #expect(machine.feed(Message.option(.exportName)) == [.close([], .protocolViolation)])
        machine = .begun(.required)
        #expect(machine.feed(Message.option(99)).firstReply == .securityRequired)
        machine = .begun(.required)
        #expect(
            machine.feed(Message.option(.startTLS))
                == [.secure(Message.reply(.startTLS, .acknowledge))])
    }

    @Test("plain text behind STARTTLS ends the connection")
    func injectedPlainText() {
        var machine = Negotiation.begun(.offered)
        let steps = machine.feed(Message.option(.startTLS) + structured)
        #expect(steps == [.close([], .protocolViolation)])
    }

    @Test("nothing that was agreed before TLS counts after it, and TLS starts only once")
    func stateDropped() {
        var machine = Negotiation.begun(.offered)
        _ = machine.feed(structured)
        _ = machine.feed(Message.option(.startTLS))
        #expect(machine.secured() == .send([]))
        #expect(machine.feed(Message.option(.startTLS)).firstReply == .invalid)
        _ = machine.feed(Message.go("v"))
        guard case .enter(_, let terms) = machine.opened(.success(someShape)) else {
            Issue.record("GO after TLS did not enter transmission")
            return
        }
        #expect(!terms.structuredReplies)
    }
}
