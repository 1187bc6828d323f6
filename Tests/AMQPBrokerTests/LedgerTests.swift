import MessagePort
import Testing

@testable import AMQPBroker

/// A small generator with a seed, so that a failure can be had again.
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite("Confirm ledger")
struct ConfirmLedgerTests {
    @Test("agrees with a plain set of open numbers over random answers", arguments: 0..<200)
    func agreesWithSet(seed: Int) {
        var numbers = SeededNumbers(state: UInt64(seed))
        var ledger = ConfirmLedger<UInt64>()
        var open: Set<UInt64> = []
        var last: UInt64 = 0
        for _ in 0..<300 {
            switch Int.random(in: 0..<10, using: &numbers) {
            case 0..<5:
                last += 1
                let sequence = ledger.append(last)
                #expect(sequence == last)
                open.insert(last)
            case 5..<7:
                let number = UInt64.random(in: 0...last + 2, using: &numbers)
                let expected = open.remove(number).map { [$0] } ?? []
                let settled = ledger.settle(number, multiple: false)
                #expect(settled == expected)
            case 7..<9:
                let number = UInt64.random(in: 1...last + 2, using: &numbers)
                let expected = open.filter { $0 <= number }.sorted()
                let settled = ledger.settle(number, multiple: true)
                #expect(settled == expected)
                open.subtract(expected)
            default:
                let divisor = UInt64.random(in: 2...5, using: &numbers)
                ledger.forget { $0 % divisor == 0 }
                open = open.filter { $0 % divisor != 0 }
            }
            #expect(ledger.outstanding == open.count)
        }
        let rest = ledger.settle(0, multiple: true)
        #expect(rest == open.sorted(), "number 0 means everything")
        #expect(ledger.outstanding == 0)
    }

    @Test("a late answer to something given up has no effect")
    func lateAnswer() {
        var ledger = ConfirmLedger<Int>()
        for entry in 1...3 { ledger.append(entry) }
        ledger.forget { $0 == 2 }
        let late = ledger.settle(2, multiple: false)
        #expect(late.isEmpty)
        let others = ledger.settle(3, multiple: true)
        #expect(others == [1, 3])
        let next = ledger.append(4)
        #expect(next == 4)
    }
}

@Suite("Settlement ledger")
struct SettlementLedgerTests {
    @Test(
        "every delivery is settled exactly once, and multiple only covers settled ones",
        arguments: 0..<200)
    func exactlyOnce(seed: Int) {
        var numbers = SeededNumbers(state: UInt64(seed))
        var ledger = SettlementLedger()
        // The broker's view: what is open there.
        var atBroker: Set<UInt64> = []
        var asked: [UInt64: Settlement] = [:]
        var dueBy: [UInt64: Moment] = [:]
        var now = Moment.now
        var last: UInt64 = 0
        for _ in 0..<200 {
            if Bool.random(using: &numbers) {
                for _ in 0..<Int.random(in: 1...5, using: &numbers) {
                    last += 1
                    let inTurn = ledger.delivered(last)
                    #expect(inTurn)
                    atBroker.insert(last)
                }
                continue
            }
            let requests = requests(upTo: last + 1, &numbers)
            for request in requests where request.number > 0 && request.number <= last {
                asked[request.number] = asked[request.number] ?? request.settlement
            }
            now = now + .milliseconds(Int.random(in: 0...4, using: &numbers))
            for number in requests.map(\.number) where asked[number] != nil {
                dueBy[number] = dueBy[number] ?? now + SettlementLedger.patience
            }
            for frame in ledger.settle(requests, at: now) {
                switch frame {
                case .reject(let number):
                    let wasOpen = atBroker.remove(number) != nil
                    #expect(wasOpen, "an unknown delivery closes the channel")
                    #expect(asked[number] == .deadLetter)
                case .acknowledge(let number, let multiple):
                    #expect(atBroker.contains(number), "unknown delivery closes the channel")
                    let covered = multiple ? atBroker.filter { $0 <= number } : [number]
                    for one in covered { #expect(asked[one] == .acknowledge) }
                    atBroker.subtract(covered)
                }
            }
            let late = atBroker.filter { dueBy[$0].map { $0 <= now } ?? false }
            #expect(late.isEmpty, "nothing is held for longer than the ledger's patience")
            #expect(
                ledger.deadline != nil || atBroker.isDisjoint(with: asked.keys),
                "what is held has a deadline")
        }
        for frame in ledger.settle([], at: now, holding: false) {
            guard case .acknowledge(let number, multiple: false) = frame else {
                Issue.record("a prefix was held: \(frame)")
                continue
            }
            atBroker.remove(number)
        }
        #expect(atBroker.isDisjoint(with: asked.keys), "everything asked for has been sent")
    }

    private func requests(
        upTo last: UInt64, _ numbers: inout SeededNumbers
    ) -> [(number: UInt64, settlement: Settlement)] {
        (0..<Int.random(in: 1...6, using: &numbers)).map { _ in
            let number = UInt64.random(in: 0...last, using: &numbers)
            return (number, Bool.random(using: &numbers) ? .acknowledge : .deadLetter)
        }
    }

    @Test("a whole prefix goes out as one frame; what is behind a gap waits a moment for it")
    func prefixIsOneFrame() {
        var ledger = SettlementLedger()
        let now = Moment.now
        for number in 1...7 { _ = ledger.delivered(UInt64(number)) }
        let first = ledger.settle(
            [(3, .acknowledge), (1, .acknowledge), (2, .acknowledge), (5, .acknowledge)], at: now)
        #expect(first == [.acknowledge(3, multiple: true)])
        #expect(ledger.deadline == now + SettlementLedger.patience)
        let closed = ledger.settle([(4, .acknowledge)], at: now + .milliseconds(1))
        #expect(closed == [.acknowledge(5, multiple: true)])
        #expect(ledger.deadline == nil)
        let held = ledger.settle([(7, .acknowledge)], at: now)
        #expect(held.isEmpty)
        let late = ledger.settle([], at: now + SettlementLedger.patience)
        #expect(late == [.acknowledge(7, multiple: false)])
    }

    @Test("a gap in the broker's numbers is noticed")
    func gap() {
        var ledger = SettlementLedger()
        let first = ledger.delivered(1)
        let third = ledger.delivered(3)
        #expect(first && !third)
    }
}

@Suite("Backoff")
struct BackoffTests {
    @Test("pauses double up to the cap, and start anew after a reset")
    func doubles() {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(1), random: { 0 })
        let pauses = (0..<6).map { _ in backoff.next() }
        #expect(pauses == [50, 100, 200, 400, 500, 500].map { .milliseconds($0) })
        backoff.reset()
        let first = backoff.next()
        #expect(first == .milliseconds(50))
    }

    @Test(
        "every pause lies between half its span and the whole",
        arguments: [0.0, 0.25, 0.999, 7, -3])
    func jitterIsBounded(draw: Double) {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(1), random: { draw })
        for span in [100, 200, 400, 800, 1000] {
            let pause = backoff.next()
            #expect(pause >= .milliseconds(span) / 2 && pause <= .milliseconds(span))
        }
    }
}

@Suite("Topic patterns")
struct TopicPatternTests {
    @Test(
        "match as the broker's topic exchange does",
        arguments: [
            ("#", "", true), ("#", "a.b", true), ("*", "a", true), ("*", "a.b", false),
            ("*", "", true),
            ("a.#", "a", true), ("a.#", "a.b.c", true), ("a.#", "b.a", false),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true), ("a.*.c", "a.b.c", true), ("a.*.c", "a.c", false),
            ("a.#.#.c", "a.c", true),
            ("payroll.command.*", "payroll.command.completed", true),
            ("payroll.command.*", "payroll2.command.completed", false),
        ])
    func matches(pattern: String, key: String, expected: Bool) {
        #expect(TopicPattern(pattern).matches(key) == expected)
    }
}
