// From the connection's thread to whoever asks for the next delivery.

import MessagePort
import Synchronization

/// Deliveries in the broker's order, and those who wait for one.
///
/// Its size is bounded by the consumers' prefetch: the broker sends no more until some are settled.
final class DeliveryBuffer: Sendable {
    private struct State {
        var deliveries = FIFO<Delivery>()
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Delivery?, Never>)] = []
        var nextID: UInt64 = 0
        var finished = false
    }

    private let state = Mutex(State())

    /// Hands deliveries on, or keeps them until they are asked for.
    func append(_ deliveries: [Delivery]) {
        typealias Resumption = (CheckedContinuation<Delivery?, Never>, Delivery)
        let resumptions = state.withLock { state -> [Resumption] in
            guard !state.finished else { return [] }
            var resumptions: [Resumption] = []
            for delivery in deliveries {
                if state.waiters.isEmpty {
                    state.deliveries.append(delivery)
                } else {
                    resumptions.append((state.waiters.removeFirst().continuation, delivery))
                }
            }
            return resumptions
        }
        for (continuation, delivery) in resumptions { continuation.resume(returning: delivery) }
    }

    /// Forgets what has not been handed on: its connection is gone, and it will come again.
    func discard() {
        state.withLock { $0.deliveries.removeAll() }
    }

    /// Hands nothing on any more.
    func finish() {
        let waiters = state.withLock { state in
            state.finished = true
            state.deliveries.removeAll()
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: nil) }
    }

    /// The next delivery; nil after `finish`, and nil when the waiting task is cancelled.
    func next() async -> Delivery? {
        let (ready, id) = state.withLock { state -> (Delivery??, UInt64) in
            if let delivery = state.deliveries.popFirst() { return (.some(delivery), 0) }
            if state.finished { return (.some(nil), 0) }
            state.nextID += 1
            return (nil, state.nextID)
        }
        if let ready { return ready }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { wait(id: id, $0) }
        } onCancel: {
            withdraw(id: id)
        }
    }

    // What came between the first look and this one must not be missed.
    private func wait(id: UInt64, _ continuation: CheckedContinuation<Delivery?, Never>) {
        let ready = state.withLock { state -> Delivery?? in
            if let delivery = state.deliveries.popFirst() { return .some(delivery) }
            if state.finished || Task.isCancelled { return .some(nil) }
            state.waiters.append((id, continuation))
            return nil
        }
        if let ready { continuation.resume(returning: ready) }
    }

    private func withdraw(id: UInt64) {
        let waiter = state.withLock { state in
            state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
        }
        waiter?.continuation.resume(returning: nil)
    }
}
