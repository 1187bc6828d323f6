import CommandSchema
import CopyModel
import Testing

@Suite("Events as bytes")
struct EventWriterTests {
    private func event(
        _ body: EventBody, subject name: SubjectName = subject("payroll"), sequence: UInt64 = 42,
        commandID: CommandID? = nil, traceparent: String? = nil
    ) -> Event {
        Event(
            subject: name, sequence: sequence, time: Timestamp(milliseconds: 1_795_226_400_131),
            commandID: commandID, traceparent: traceparent, body: body)
    }

    private let capacity = EventBody.storageCapacity(
        volume: volume("box1:0100"), usedPercent: 80, level: .warning)

    @Test("are CloudEvents with the contract's attributes, optional ones only where they are known")
    func attributes() {
        let expected =
            #"{"specversion":"1.0","id":"payroll/00000000000000000042","source":"/stillpoint/dev","#
            + #""type":"stillpoint.storage.capacity","subject":"payroll","#
            + #""time":"2026-11-21T02:00:00.131Z","sequence":"00000000000000000042","#
            + #""datacontenttype":"application/json","#
            + #""dataschema":"https://stillpoint.example/schemas/v1/events/storage.capacity.json","#
        let data = #""data":{"volume":"box1:0100","usedPercent":80,"level":"warning"}}"#
        let plain = EventWriter.bytes(event(capacity), instance: "dev")
        #expect(String(decoding: plain, as: UTF8.self) == expected + data)
        let traced = EventWriter.bytes(
            event(capacity, commandID: commandID("a"), traceparent: "00-01-02-03"), instance: "dev")
        #expect(
            String(decoding: traced, as: UTF8.self)
                == expected + #""commandid":"a","traceparent":"00-01-02-03","# + data)
    }

    @Test(
        "are numbered in 20 digits",
        arguments: [
            (1, "00000000000000000001"), (UInt64.max, "18446744073709551615"),
            (0, "00000000000000000000"),
        ])
    func sequence(_ number: UInt64, _ digits: String) throws {
        let told = event(capacity, sequence: number)
        let node = try JSONNode(document: EventWriter.bytes(told, instance: "dev"))
        #expect(node["sequence"]?.text == digits)
        #expect(node["id"]?.text == "payroll/" + digits)
        #expect(EventWriter.id(told) == "payroll/" + digits)
    }

    @Test("are routed by subject and type")
    func routing() {
        #expect(EventWriter.routingKey(event(capacity)) == "payroll.storage.capacity")
        let told = Outcome(
            id: nil, command: nil, subject: nil, isForStorage: false, kind: .refused, revision: 0,
            receivedAt: Timestamp(milliseconds: 0), startedAt: Timestamp(milliseconds: 0),
            finishedAt: Timestamp(milliseconds: 0))
        let ownerless = event(.command(told), subject: .unattributed)
        #expect(EventWriter.routingKey(ownerless) == "_.command.refused")
        #expect(EventWriter.id(ownerless) == "_/00000000000000000042")
    }

    @Test("carry an outcome as it was stored, byte for byte")
    func outcome() {
        let told = Outcome(
            id: commandID("a"), command: "Backup", subject: subject("payroll"), isForStorage: false,
            kind: .completed, result: CommandResult.none, revision: 1,
            receivedAt: Timestamp(milliseconds: 5), startedAt: Timestamp(milliseconds: 6),
            finishedAt: Timestamp(milliseconds: 7))
        let stored = OutcomeWriter.bytes(told)
        let encoded = EventWriter.bytes(event(.command(told)), instance: "dev")
        #expect(
            EventWriter.bytes(event(.command(told)), instance: "dev", outcomeBytes: stored)
                == encoded)
        #expect(encoded.suffix(stored.count + 1) == (stored + [UInt8(ascii: "}")])[...])
    }

    @Test("come from a source that is a URI reference, whatever the instance is called")
    func source() throws {
        for (instance, expected) in [
            ("dev-1.a_b~c", "dev-1.a_b~c"), ("a b/c", "a%20b%2Fc"), ("é\n", "%C3%A9%0A"),
            ("%", "%25"),
        ] {
            let node = try JSONNode(
                document: EventWriter.bytes(event(capacity), instance: instance))
            #expect(node["source"]?.text == "/stillpoint/" + expected)
        }
    }

    @Test("say null for what is not known")
    func nulls() throws {
        let progress = CopyProgress(
            rolePair: .h1r1, percent: 100, tracksRemaining: 0, bytesPerSecond: 0,
            estimatedCompletion: nil)
        let session = Session(
            name: subject("payroll"), description: "",
            services: .safeguarded(SafeguardedServices(options: SafeguardedOptions())))
        let copy = try JSONNode(
            document: EventWriter.bytes(event(.copyProgress(progress)), instance: "d"))
        #expect(copy["data"]?["estimatedCompletion"]?.isNull == true)
        let new = try JSONNode(
            document: EventWriter.bytes(event(.sessionCreated(session.summary)), instance: "d"))
        #expect(new["data"]?["newestRecoverableBackup"]?.isNull == true)
        #expect(new["data"]?["state"]?.text == "Defined")
    }
}
