// A first-in-first-out row that can also be looked into by position.

/// An array that is cheap to take from at the front.
struct FIFO<Element> {
    private var storage: [Element?] = []
    private var head = 0

    /// How many elements are there.
    var count: Int { storage.count - head }
    var isEmpty: Bool { head == storage.count }

    /// The first element, left where it is.
    var first: Element? { isEmpty ? nil : storage[head] }

    mutating func append(_ element: Element) { storage.append(element) }

    mutating func popFirst() -> Element? {
        guard head < storage.count else { return nil }
        let element = storage[head].take()
        head += 1
        if head == storage.count {
            storage.removeAll(keepingCapacity: storage.count <= 4096)
            head = 0
        } else if head >= 1024, head * 2 >= storage.count {
            storage.removeFirst(head)
            head = 0
        }
        return element
    }

    mutating func removeAll() {
        storage.removeAll()
        head = 0
    }

    /// The element at a distance from the front, 0 to `count - 1`.
    subscript(position: Int) -> Element {
        get { storage[head + position]! }
        set { storage[head + position] = newValue }
        _modify { yield &storage[head + position]! }
    }
}
