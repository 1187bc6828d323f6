import MessagePort
import NBDServer
import SessionRuntime

/// Prometheus' text format, version 0.0.4.
enum MetricsPage {
    static func text(_ vitals: Vitals) -> String {
        let reading = vitals.meters.reading
        var page = Page()
        commands(reading, on: &page)
        page.family(
            "stillpoint_events_published_total", "counter", "Messages that the broker confirmed.")
        page.sample("stillpoint_events_published_total", reading.published)
        page.family(
            "stillpoint_events_republished_total", "counter", "Publishes that had to be repeated.")
        page.sample("stillpoint_events_republished_total", reading.republished)
        page.family(
            "stillpoint_outbox_owed", "gauge", "Messages owed to the broker, up to one batch.")
        page.sample("stillpoint_outbox_owed", reading.owed)
        page.family(
            "stillpoint_commit_retries_total", "counter", "Commits retried on a full store.")
        page.sample("stillpoint_commit_retries_total", reading.commitRetries)
        page.family(
            "stillpoint_broker_connected", "gauge", "1 while a channel to the broker is open.")
        let uses = [("consume", vitals.consuming()), ("publish", vitals.publishing())]
        for (use, health) in uses {
            page.sample("stillpoint_broker_connected", health.connected ? 1 : 0, ["use": use])
        }
        page.family(
            "stillpoint_broker_connections_total", "counter", "Connections opened to the broker.")
        for (use, health) in uses {
            page.sample("stillpoint_broker_connections_total", health.connections, ["use": use])
        }
        for hosts in vitals.hosts() { nbd(hosts, on: &page) }
        return page.text
    }

    private static func commands(_ reading: Meters.Reading, on page: inout Page) {
        let name = "stillpoint_commands_total"
        page.family(name, "counter", "Commands by how they ended.")
        page.sample(name, reading.commands.completed, ["outcome": "completed"])
        page.sample(name, reading.commands.refused, ["outcome": "refused"])
        page.sample(name, reading.commands.failed, ["outcome": "failed"])
        page.family(
            "stillpoint_command_repeats_total", "counter", "Commands answered from the inbox.")
        page.sample("stillpoint_command_repeats_total", reading.commands.duplicates)
        page.family(
            "stillpoint_dead_letters_total", "counter", "Messages sent to the dead letters.")
        page.sample("stillpoint_dead_letters_total", reading.commands.deadLetters)
        let duration = "stillpoint_command_duration_seconds"
        page.family(duration, "histogram", "From the delivery of a command to its outcome.")
        var sum: UInt64 = 0
        for (slot, bound) in Meters.bounds.enumerated() {
            sum += reading.durations[slot]
            page.sample("\(duration)_bucket", sum, ["le": "\(Double(bound) / 1000)"])
        }
        sum += reading.durations[Meters.bounds.count]
        page.sample("\(duration)_bucket", sum, ["le": "+Inf"])
        page.line("\(duration)_sum \(Double(reading.durationMilliseconds) / 1000)")
        page.sample("\(duration)_count", sum)
    }
}

/// A page under construction.
struct Page {
    private(set) var text = ""

    mutating func family(_ name: String, _ type: String, _ help: String) {
        line("# HELP \(name) \(help)")
        line("# TYPE \(name) \(type)")
    }

    mutating func sample(
        _ name: String, _ value: UInt64, _ labels: KeyValuePairs<String, String> = [:]
    ) {
        let pairs = labels.map { "\($0.key)=\"\($0.value)\"" }.joined(separator: ",")
        line(pairs.isEmpty ? "\(name) \(value)" : "\(name){\(pairs)} \(value)")
    }

    mutating func line(_ line: String) { text += line + "\n" }
}

extension MetricsPage {
    fileprivate static func nbd(_ report: NBDServerReport, on page: inout Page) {
        page.family("stillpoint_nbd_connections", "gauge", "Hosts connected over NBD.")
        page.sample("stillpoint_nbd_connections", UInt64(report.connectionsOpen))
        page.family("stillpoint_nbd_requests_total", "counter", "Requests of hosts, by kind.")
        let kinds: KeyValuePairs = [
            "read": report.reads, "write": report.writes, "zero": report.zeroes,
            "flush": report.flushes, "status": report.statuses,
        ]
        for (kind, count) in kinds {
            page.sample("stillpoint_nbd_requests_total", UInt64(count), ["kind": kind])
        }
        page.family("stillpoint_nbd_errors_total", "counter", "Requests of hosts that failed.")
        page.sample("stillpoint_nbd_errors_total", UInt64(report.errors))
        page.family("stillpoint_nbd_bytes_total", "counter", "Bytes moved for hosts.")
        page.sample("stillpoint_nbd_bytes_total", UInt64(report.bytesRead), ["direction": "read"])
        page.sample(
            "stillpoint_nbd_bytes_total", UInt64(report.bytesWritten), ["direction": "written"])
    }
}
