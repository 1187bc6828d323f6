import Glibc

/// Wakes a thread that polls: a pipe whose content means nothing but "look around".
struct WakePipe: Sendable {
    /// To poll for input.
    let output: Int32
    private let input: Int32

    /// Nil where the system has no descriptors to give; `errno` says why.
    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            Descriptor.closeOnExec(end)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        output = ends[0]
        input = ends[1]
    }

    /// A full pipe needs no more: whoever polls it has not looked yet.
    func wake() {
        var byte: UInt8 = 1
        _ = write(input, &byte, 1)
    }

    /// Takes note of every wake-up so far.
    func drain() {
        withUnsafeTemporaryAllocation(byteCount: 256, alignment: 1) { bytes in
            while read(output, bytes.baseAddress, bytes.count) == bytes.count {}
        }
    }

    func close() {
        Glibc.close(input)
        Glibc.close(output)
    }
}

enum Descriptor {
    static func closeOnExec(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    /// Sets a socket option whose value is a C int.
    static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The next connection that waits on a listener, or -1 with `errno`.
    static func accept(_ listener: Int32) -> Int32 {
        let descriptor = Glibc.accept(listener, nil, nil)
        if descriptor >= 0 { closeOnExec(descriptor) }
        return descriptor
    }
}
