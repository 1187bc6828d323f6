// Topic patterns, for replaying the event log: a stream hands over everything, so that filtering is
// ours.

/// A binding key of a topic exchange: words between dots, `*` for one word, `#` for any number.
struct TopicPattern: Hashable, Sendable {
    private let words: [Substring]

    init(_ pattern: String) {
        words = pattern.split(separator: ".", omittingEmptySubsequences: false)
    }

    /// True where the broker would route this key to a queue bound with this pattern.
    func matches(_ key: String) -> Bool {
        let keys = key.split(separator: ".", omittingEmptySubsequences: false)
        // reachable[i]: the words so far can match the first i words of the key.
        var reachable = [Bool](repeating: false, count: keys.count + 1)
        reachable[0] = true
        for word in words {
            var next = [Bool](repeating: false, count: keys.count + 1)
            for position in 0...keys.count {
                if word == "#" {
                    next[position] = reachable[position] || (position > 0 && next[position - 1])
                } else if position > 0, word == "*" || word == keys[position - 1] {
                    next[position] = reachable[position - 1]
                }
            }
            reachable = next
        }
        return reachable[keys.count]
    }
}
