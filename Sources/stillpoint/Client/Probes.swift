import AMQPBroker
import ConsoleText
import Glibc

/// One thing that `check` looks at.
///
/// More are added to `Probes.all` by whoever knows the parts.
struct Probe: Sendable {
    /// Looks, changes nothing, and says what it has found: one finding at least.
    var look: @Sendable () async -> [Finding]
}

/// What `check` looks at, in order.
enum Probes {
    /// The probes of a site.
    static func all(_ site: Site) -> [Probe] {
        [broker(site)] + site.storage.map { storage($0) } + [
            store(site.store), nbd(site), http(site),
        ]
    }

    // MARK: The broker

    private static func broker(_ site: Site) -> Probe {
        Probe {
            let events: any EventFollowing
            do throws(ClientFailure) {
                events = try site.events(of: nil, from: .next)
                try await events.started()
            } catch {
                return brokerFindings(error, site)
            }
            await events.close()
            return [
                Finding(.ok, "broker", "\(site.endpoint) answers"), await topologyFinding(site),
            ]
        }
    }

    private static func topologyFinding(_ site: Site) async -> Finding {
        do throws(BrokerError) {
            try await site.topology.verify(on: site.endpoint)
            return Finding(
                .ok, "topology",
                "every exchange and queue is there, the event log \(site.topology.eventLog) too")
        } catch {
            return Finding(
                .failed, "topology", "\(error)",
                remedy: "start a worker, which makes what is missing, or import "
                    + "deploy/rabbitmq/definitions.json")
        }
    }

    private static func brokerFindings(_ failure: ClientFailure, _ site: Site) -> [Finding] {
        let answers = Finding(.ok, "broker", "\(site.endpoint) answers")
        switch failure.status {
        case .brokerUnreachable:
            return [
                Finding(
                    .brokerUnreachable, "broker", failure.description,
                    remedy: "start RabbitMQ, or correct broker.uri (user, password, virtual host)")
            ]
        case .usage:
            return [Finding(.failed, "broker", failure.description, remedy: "correct broker.uri")]
        case .completed, .refused, .failed, .timedOut:
            return [
                answers,
                Finding(
                    .warning, "topology",
                    "the event log cannot be read: \(failure.description)",
                    remedy: "a worker makes what is missing when it starts"),
            ]
        }
    }

    // MARK: Files

    /// A directory that exists and can be written, or that can be made.
    private static func storage(_ place: Site.Place) -> Probe {
        Probe {
            let path = place.path
            guard exists(path) else { return [creatable(place)] }
            guard isDirectory(path) else {
                return [
                    Finding(
                        .failed, place.key, "\(path) is not a directory",
                        remedy: "name a directory in \(place.key.split(separator: " ")[0])")
                ]
            }
            return [
                access(path, R_OK | W_OK | X_OK) == 0
                    ? Finding(.ok, place.key, "\(path) can be written")
                    : Finding(
                        .failed, place.key, "\(path) cannot be written: \(reason())",
                        remedy: "give the worker's user read, write and search permission on it")
            ]
        }
    }

    /// A SQLite file that can be written, or that can be made.
    private static func store(_ place: Site.Place) -> Probe {
        Probe {
            let path = place.path
            guard exists(path) else { return [creatable(place)] }
            guard access(path, R_OK | W_OK) == 0 else {
                return [
                    Finding(
                        .failed, place.key, "\(path) cannot be written: \(reason())",
                        remedy: "give the worker's user read and write permission on it")
                ]
            }
            let head = beginning(of: path)
            guard head.isEmpty || head.starts(with: "SQLite format 3\0".utf8) else {
                return [
                    Finding(
                        .failed, place.key, "\(path) is not a SQLite file",
                        remedy: "name another file in store.sqlite, or move this one away")
                ]
            }
            return [Finding(.ok, place.key, "\(path) is a SQLite file and can be written")]
        }
    }

    private static func creatable(_ place: Site.Place) -> Finding {
        var parent = place.path
        repeat {
            guard let slash = parent.lastIndex(of: "/") else {
                parent = "."
                break
            }
            parent = slash == parent.startIndex ? "/" : String(parent[..<slash])
        } while !exists(parent)
        if isDirectory(parent), access(parent, W_OK | X_OK) == 0 {
            return Finding(.ok, place.key, "\(place.path) is not there yet; the worker makes it")
        }
        return Finding(
            .failed, place.key, "\(place.path) is not there, and cannot be made in \(parent)",
            remedy: "make it, and give it to the worker's user")
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func beginning(of path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        return [UInt8](unsafeUninitializedCapacity: 16) { buffer, used in
            used = max(0, read(descriptor, buffer.baseAddress, 16))
        }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}

// MARK: The doors

extension Probes {
    private static func nbd(_ site: Site) -> Probe {
        door("nbd", site.nbd) { address in
            guard let socket = LocalSocket(to: address, seconds: 3) else { return nil }
            let greeting = socket.receive(atMost: 8)
            return greeting.starts(with: "NBDMAGIC".utf8)
                ? .ok("answers: hosts can connect")
                : .stranger("something that does not speak NBD listens here")
        }
    }

    private static func http(_ site: Site) -> Probe {
        door("http", site.http) { address in
            guard LocalSocket(to: address, seconds: 3) != nil else { return nil }
            guard let ready = HTTPGet.get("/readyz", from: address) else {
                return .stranger("something that does not speak HTTP listens here")
            }
            switch ready.status {
            case 200: return .ok("the worker is ready")
            case 503:
                let why = String(decoding: ready.body, as: UTF8.self).split(separator: "\n")
                return .unready(why.joined(separator: "; "))
            default: return .stranger("/readyz answers \(ready.status): not a worker")
            }
        }
    }

    /// What was met at a door.
    private enum Met {
        case ok(String)
        case unready(String)
        case stranger(String)
    }

    private static func door(
        _ key: String, _ address: Site.Address?,
        _ knock: @escaping @Sendable (Site.Address) -> Met?
    ) -> Probe {
        Probe {
            guard let address else { return [Finding(.ok, key, "off")] }
            let place = "\(address.host):\(address.port)"
            guard address.port > 0 else { return [Finding(.ok, key, "\(place): any free port")] }
            switch knock(address) {
            case .ok(let sentence): return [Finding(.ok, key, "\(place) \(sentence)")]
            case .unready(let why):
                return [
                    Finding(
                        .warning, key, "\(place): the worker is not ready: \(why)",
                        remedy: "wait, then look at the worker's log")
                ]
            case .stranger(let sentence):
                return [
                    Finding(
                        .failed, key, "\(place): \(sentence)",
                        remedy: "end that program, or choose another \(key).listen")
                ]
            case nil: return [free(key, address, place)]
            }
        }
    }

    /// Nobody listens: fine before a worker is started, if one could.
    private static func free(_ key: String, _ address: Site.Address, _ place: String) -> Finding {
        if let problem = LocalSocket.bindingProblem(address) {
            return Finding(
                .failed, key, "\(place) cannot be listened on: \(problem)",
                remedy: "choose another \(key).listen")
        }
        return Finding(.ok, key, "\(place) is free; no worker listens there now")
    }
}
