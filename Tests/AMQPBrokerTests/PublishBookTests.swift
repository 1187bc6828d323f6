import MessagePort
import Testing

@testable import AMQPBroker

@Suite("Publish book")
struct PublishBookTests {
    private let start = Moment.now

    private func message(_ name: String, exchange: String = "e") -> OutgoingMessage {
        var properties = MessageProperties()
        properties.messageID = name
        return OutgoingMessage(
            exchange: exchange, routingKey: "k", properties: properties, body: [])
    }

    private func book(window: Int = 100) -> PublishBook<Int> { PublishBook(window: window) }

    @Test("verdicts come in the order of the messages, however the confirms come")
    func ordered() {
        var book = book()
        book.accept([message("a"), message("b"), message("c")], ticket: 1, deadline: start)
        let taken = book.take(atMost: 9, bytes: .max)
        #expect(taken.map(\.sequence) == [1, 2, 3])
        book.returned(message("b"), code: 312, text: "NO_ROUTE")
        book.confirm(3, multiple: false, accepted: false)
        let early = book.takeSettled()
        #expect(early.isEmpty)
        book.confirm(2, multiple: true, accepted: true)
        let settled = book.takeSettled()
        #expect(settled.map(\.ticket) == [1])
        #expect(
            settled.first?.verdicts == [
                .confirmed, .returned(code: 312, text: "NO_ROUTE"),
                .rejected,
            ])
        #expect(book.isEmpty)
    }

    @Test("no more goes out than the window allows, and confirms make room")
    func window() {
        var book = book(window: 2)
        book.accept((0..<5).map { message("\($0)") }, ticket: 1, deadline: start)
        let first = book.take(atMost: 9, bytes: .max)
        #expect(first.count == 2)
        #expect(!book.canSend)
        book.confirm(1, multiple: false, accepted: true)
        let third = book.take(atMost: 9, bytes: .max)
        #expect(third.map(\.sequence) == [3])
    }

    @Test("a return is told by its message, not by its place")
    func returnFindsItsMessage() {
        var book = book()
        book.accept([message("a"), message("b")], ticket: 1, deadline: start)
        _ = book.take(atMost: 9, bytes: .max)
        book.returned(message("b"), code: 312, text: "x")
        book.confirm(0, multiple: true, accepted: true)
        let settled = book.takeSettled()
        #expect(settled.first?.verdicts == [.confirmed, .returned(code: 312, text: "x")])
    }

    @Test("a lost connection fails what was sent and what waited behind it")
    func lossFailsAll() {
        var book = book(window: 1)
        book.accept([message("a"), message("b")], ticket: 1, deadline: start)
        book.accept([message("c")], ticket: 2, deadline: start)
        _ = book.take(atMost: 9, bytes: .max)
        book.lost(reason: "gone")
        let settled = book.takeSettled()
        #expect(settled.map(\.ticket) == [1, 2])
        #expect(settled.flatMap(\.verdicts).allSatisfy { $0 == .unconfirmed(reason: "gone") })
        book.accept([message("d")], ticket: 3, deadline: start)
        let next = book.take(atMost: 9, bytes: .max)
        #expect(next.map(\.sequence) == [1], "a new channel counts anew")
    }

    @Test("on each connection one message goes first, and the rest once it is confirmed")
    func probing() {
        var book = PublishBook<Int>(window: 100, probes: true)
        book.accept([message("a"), message("b"), message("c")], ticket: 1, deadline: start)
        #expect(book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == ["a"])
        #expect(!book.canSend)
        book.confirm(1, multiple: false, accepted: false)
        #expect(book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == ["b"])
        book.confirm(2, multiple: false, accepted: true)
        book.accept([message("d")], ticket: 2, deadline: start)
        #expect(
            book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == ["c", "d"])
        book.lost(reason: "gone")
        book.isCalm = false
        book.accept([message("e"), message("f"), message("g")], ticket: 3, deadline: start)
        for (number, name) in zip(UInt64(1)..., ["e", "f"]) {
            #expect(
                book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == [name])
            book.confirm(number, multiple: false, accepted: true)
        }
    }

    @Test("what a broker returns that has just come back stops the rest of its run")
    func returnedEarly() {
        var book = PublishBook<Int>(window: 100, probes: true)
        let messages = [message("a"), message("b")]
        book.accept(messages, in: PublishRun(1), ticket: 1, deadline: start)
        _ = book.take(atMost: 9, bytes: .max)
        book.returned(messages[0], code: 312, text: "NO_ROUTE")
        book.confirm(1, multiple: false, accepted: true)
        let settled = book.takeSettled()
        #expect(settled.map(\.ticket) == [1])
        #expect(settled.first?.verdicts.first == .returned(code: 312, text: "NO_ROUTE"))
        book.accept(messages, in: PublishRun(2), ticket: 2, deadline: start)
        #expect(book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == ["a"])
    }

    @Test("after a failure nothing more of its run is sent, however soon it comes")
    func brokenRun() {
        var book = book()
        book.accept([message("a")], in: PublishRun(3), ticket: 1, deadline: start)
        _ = book.take(atMost: 9, bytes: .max)
        book.lost(reason: "gone")
        book.accept([message("b")], in: PublishRun(3), ticket: 2, deadline: start)
        book.accept([message("c")], in: PublishRun(2), ticket: 3, deadline: start)
        book.accept([message("d")], in: PublishRun(4), ticket: 4, deadline: start)
        book.accept([message("e")], ticket: 5, deadline: start)
        #expect(book.takeSettled().map(\.ticket) == [1, 2, 3])
        #expect(
            book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == ["d", "e"])
    }

    @Test("what the broker does not take stops the rest of its run, not what is on the way")
    func nackBreaksRun() {
        var book = book(window: 2)
        let messages = ["a", "b", "c"].map { message($0) }
        book.accept(messages, in: PublishRun(1), ticket: 1, deadline: start)
        book.accept([message("d")], in: PublishRun(1), ticket: 2, deadline: start)
        book.accept([message("e")], ticket: 3, deadline: start)
        _ = book.take(atMost: 9, bytes: .max)
        book.confirm(1, multiple: false, accepted: false)
        book.confirm(2, multiple: false, accepted: true)
        let settled = book.takeSettled()
        #expect(settled.map(\.ticket).sorted() == [1, 2])
        let verdicts = settled.first { $0.ticket == 1 }?.verdicts.map { $0 == .confirmed }
        #expect(verdicts == [false, true, false])
        #expect(book.take(atMost: 9, bytes: .max).map(\.message.properties.messageID) == ["e"])
    }

    @Test("only the first message to the exchange that was missing is blamed for it")
    func blame() {
        var book = book()
        let messages = [
            message("a"), message("b", exchange: "gone"), message("c", exchange: "gone"),
        ]
        book.accept(messages, ticket: 1, deadline: start)
        _ = book.take(atMost: 9, bytes: .max)
        book.lost(reason: "closed") {
            $0.exchange == "gone" ? .returned(code: 404, text: "t") : nil
        }
        let settled = book.takeSettled()
        #expect(
            settled.first?.verdicts == [
                .unconfirmed(reason: "closed"), .returned(code: 404, text: "t"),
                .unconfirmed(reason: "closed"),
            ])
    }

    @Test("a deadline fails its call and what waits unsent behind it, not what is on the way")
    func deadline() {
        var book = book(window: 2)
        book.accept([message("a")], ticket: 1, deadline: start + .seconds(1))
        book.accept([message("b")], ticket: 2, deadline: start + .seconds(2))
        book.accept([message("c")], ticket: 3, deadline: start + .seconds(3))
        _ = book.take(atMost: 9, bytes: .max)
        book.expire(at: start, reason: "late")
        let early = book.takeSettled()
        #expect(early.isEmpty)
        book.expire(at: start + .seconds(1), reason: "late")
        let expired = book.takeSettled()
        #expect(expired.map(\.ticket).sorted() == [1, 3])
        #expect(book.deadline == start + .seconds(2))
        book.confirm(1, multiple: false, accepted: true)
        let late = book.takeSettled()
        #expect(late.isEmpty, "a late confirm is without effect")
        book.confirm(2, multiple: false, accepted: true)
        let confirmed = book.takeSettled()
        #expect(confirmed.map(\.verdicts) == [[.confirmed]])
        #expect(book.isEmpty)
    }

    @Test("what the protocol cannot carry is returned without being sent")
    func uncarriable() {
        var book = book()
        var long = message("a")
        long.routingKey = String(repeating: "x", count: 256)
        book.accept([long, message("b")], ticket: 1, deadline: start)
        let taken = book.take(atMost: 9, bytes: .max)
        #expect(taken.map(\.message.properties.messageID) == ["b"])
        book.confirm(1, multiple: false, accepted: true)
        guard case .returned(code: 502, _) = book.takeSettled().first?.verdicts.first else {
            Issue.record("expected code 502")
            return
        }
    }

    @Test("an empty call is answered at once")
    func emptyCall() {
        var book = book()
        book.accept([], ticket: 1, deadline: start)
        let settled = book.takeSettled()
        #expect(settled.map(\.verdicts) == [[]])
    }

    @Test(
        "every call is answered once, with one verdict a message, whatever happens",
        arguments: 0..<150)
    func everyCallOnce(seed: Int) {
        var numbers = SeededNumbers(state: UInt64(seed))
        var book = book(window: 7)
        var sizes: [Int: Int] = [:]
        var answered: Set<Int> = []
        var now = start
        var sent: UInt64 = 0
        func check() {
            for call in book.takeSettled() {
                let isFirst = answered.insert(call.ticket).inserted
                #expect(isFirst, "call \(call.ticket) answered twice")
                #expect(call.verdicts.count == sizes[call.ticket])
            }
        }
        for ticket in 0..<120 {
            sizes[ticket] = Int.random(in: 0...5, using: &numbers)
            let messages = (0..<sizes[ticket]!).map { message("\(ticket)/\($0)") }
            book.accept(messages, ticket: ticket, deadline: now + .seconds(5))
            for _ in 0..<Int.random(in: 0...3, using: &numbers) {
                switch Int.random(in: 0..<12, using: &numbers) {
                case 0..<5: sent = book.take(atMost: 4, bytes: .max).last?.sequence ?? sent
                case 5..<9:
                    book.confirm(
                        UInt64.random(in: 1...sent + 1, using: &numbers),
                        multiple: Bool.random(using: &numbers),
                        accepted: Bool.random(using: &numbers))
                case 9:
                    book.lost(reason: "lost")
                    sent = 0
                default:
                    now = now + .seconds(Int.random(in: 0...3, using: &numbers))
                    book.expire(at: now, reason: "late")
                }
                check()
            }
        }
        book.expire(at: now + .seconds(6), reason: "late")
        check()
        #expect(answered.count == 120)
        #expect(book.isEmpty && !book.canSend)
    }
}
