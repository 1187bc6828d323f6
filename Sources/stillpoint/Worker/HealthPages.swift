import AMQPBroker
import CommandSchema
import CopyModel
import Hummingbird
import MessagePort
import NBDServer
import SessionRuntime

/// What the pages are drawn from; every closure may be called from any thread.
struct Vitals: Sendable {
    var meters: Meters
    var consuming: @Sendable () -> BrokerHealth
    var publishing: @Sendable () -> BrokerHealth
    var hosts: @Sendable () -> [NBDServerReport]
    var sessions: @Sendable () async -> [SessionSummary]
    var isReady: @Sendable () -> Bool
}

/// `/healthz`, `/readyz`, `/metrics` and `/sessions`.
enum HealthPages {
    static func router(_ vitals: Vitals) -> Router<BasicRequestContext> {
        let router = Router()
        router.get("healthz") { _, _ in "alive\n" }
        router.get("readyz") { _, _ -> Response in
            let troubles = troubles(vitals)
            let text = troubles.isEmpty ? "ready\n" : troubles.joined(separator: "\n") + "\n"
            return Response(
                status: troubles.isEmpty ? .ok : .serviceUnavailable,
                headers: [.contentType: "text/plain; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        }
        router.get("metrics") { _, _ -> Response in
            let text = MetricsPage.text(vitals)
            return Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
        }
        router.get("sessions") { _, _ -> Response in
            let bytes = SessionsPage.bytes(await vitals.sessions())
            return Response(
                status: .ok, headers: [.contentType: "application/json"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        }
        return router
    }

    /// Why the worker is not ready, one line each; empty when it is.
    static func troubles(_ vitals: Vitals) -> [String] {
        var troubles: [String] = []
        if !vitals.isReady() { troubles.append("sessions are still being loaded") }
        for (name, health) in [
            ("consuming", vitals.consuming()), ("publishing", vitals.publishing()),
        ] {
            if !health.connected {
                troubles.append(
                    "\(name): no connection to the broker: \(health.lastError ?? "not yet")")
            }
            if let reason = health.blocked {
                troubles.append("\(name): blocked by the broker: \(reason)")
            }
        }
        return troubles
    }
}

/// The sessions' summaries as one JSON document.
enum SessionsPage {
    static func bytes(_ sessions: [SessionSummary]) -> [UInt8] {
        var writer = JSONWriter()
        writer.openObject()
        writer.key("sessions")
        writer.openArray()
        for session in sessions { write(session, to: &writer) }
        writer.closeArray()
        writer.closeObject()
        return writer.bytes
    }

    /// The summary as events carry it.
    private static func write(_ session: SessionSummary, to writer: inout JSONWriter) {
        writer.openObject()
        writer.member("session", session.session.text)
        writer.member("type", session.type.rawValue)
        writer.member("state", session.state.rawValue)
        writer.member("status", session.status.rawValue)
        writer.member("recoverable", session.recoverable)
        writer.member("copying", session.copying)
        writer.member("error", session.error)
        writer.member("copySets", session.copySets)
        writer.member(
            "newestRecoverableBackup", orNull: session.newestRecoverableBackup?.description)
        writer.member("revision", session.revision)
        writer.closeObject()
    }
}
