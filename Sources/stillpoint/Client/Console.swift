import ConsoleText
import Glibc

/// Standard output and standard error of a client.
enum Console {
    /// True where standard output is a terminal.
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Colours for standard output, where they are wanted.
    static var painter: Painter {
        Painter(
            isTerminal: isTerminal, noColor: variable("NO_COLOR"), terminalType: variable("TERM"))
    }

    /// The terminal's width in columns; 80 where it does not say.
    static var columns: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Prints lines on standard output.
    static func show(_ lines: [String]) {
        write(lines.map { $0 + "\n" }.joined(), to: STDOUT_FILENO)
    }

    /// Prints a document on standard output: as it came, but escaped where a terminal reads it.
    static func show(json bytes: [UInt8]) {
        if isTerminal {
            write(SafeText.json(bytes) + "\n", to: STDOUT_FILENO)
        } else {
            write(bytes + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
        }
    }

    /// Draws over the last line of a terminal; `ends` leaves it there for good.
    static func redraw(_ line: String, ends: Bool = false) {
        write("\r\u{1B}[K" + line + (ends ? "\n" : ""), to: STDOUT_FILENO)
    }

    /// Says on standard error what went wrong, in one line.
    static func complain(_ sentence: String) {
        write("stillpoint: \(sentence)\n", to: STDERR_FILENO)
    }

    /// Writes a text wholly.
    static func write(_ text: String, to descriptor: Int32) {
        write(Array(text.utf8), to: descriptor)
    }

    /// Writes bytes wholly.
    ///
    /// Where nobody reads any more (`| head`), the process ends as if done.
    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EPIPE {
                exit(ExitStatus.completed.rawValue)
            } else if errno == EAGAIN {
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&ready, 1, -1)
            } else if errno != EINTR {
                exit(ExitStatus.failed.rawValue)
            }
        }
    }

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}

/// A file that a client is told to read.
enum InputFile {
    /// All bytes of the file, or of standard input where the path is `-`; nil where it cannot be
    /// read.
    static func bytes(of path: String) -> [UInt8]? {
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { if descriptor != STDIN_FILENO { close(descriptor) } }
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return all }
            if count > 0 {
                all += chunk[..<count]
            } else if errno != EINTR {
                return nil
            }
        }
    }
}
