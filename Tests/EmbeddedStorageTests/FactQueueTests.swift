import CopyModel
import Testing

@testable import EmbeddedStorage

@Suite("Facts on their way to whoever reads them")
struct FactQueueTests {
    private let target: VolumeID

    init() throws { target = try #require(VolumeID("box1:0200")) }

    private func progress(_ remaining: UInt64) -> StorageFact {
        .copyProgress(
            target: target, presents: .instant(1), tracksRemaining: remaining, tracks: 16)
    }

    @Test("of progress that nobody has read the last word is told")
    func lastWord() async {
        let queue = FactQueue()
        for remaining in [12, 8, 3] as [UInt64] { queue.add(progress(remaining)) }
        #expect(await queue.next() == progress(3))
        queue.add(progress(0))
        #expect(await queue.next() == progress(0))
        queue.close()
        #expect(await queue.next() == nil)
    }

    @Test("progress after a failure is told after it")
    func failure() async {
        let queue = FactQueue()
        let failed = StorageFact.copyFailed(
            target: target, presents: .instant(1), reason: "The copy stopped with errno 5.")
        for fact in [progress(12), failed, progress(8), progress(7)] { queue.add(fact) }
        for expected in [progress(12), failed, progress(7)] {
            #expect(await queue.next() == expected)
        }
    }
}
