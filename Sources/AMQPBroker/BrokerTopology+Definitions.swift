// The topology in the form that RabbitMQ imports.

extension BrokerTopology {
    /// A definitions file for `rabbitmqctl import_definitions` or `load_definitions`: the same
    /// objects that `declare(on:)` makes.
    ///
    /// It names no users.
    public func definitions(virtualHost: String = "/") -> String {
        let vhost = Self.quoted(virtualHost)
        let exchangeLines = exchanges.map { exchange in
            "{\"name\": \(Self.quoted(exchange.name)), \"vhost\": \(vhost), "
                + "\"type\": \(Self.quoted(exchange.kind)), \"durable\": true, "
                + "\"auto_delete\": false, \"internal\": false, "
                + "\"arguments\": \(Self.object(exchange.arguments))}"
        }
        let queueLines = queues.map { queue in
            "{\"name\": \(Self.quoted(queue.name)), \"vhost\": \(vhost), \"durable\": true, "
                + "\"auto_delete\": false, \"arguments\": \(Self.object(queue.arguments))}"
        }
        let bindingLines = bindings.map { binding in
            "{\"source\": \(Self.quoted(binding.exchange)), \"vhost\": \(vhost), "
                + "\"destination\": \(Self.quoted(binding.queue)), "
                + "\"destination_type\": \"queue\", "
                + "\"routing_key\": \(Self.quoted(binding.key)), \"arguments\": {}}"
        }
        return """
            {
              "vhosts": [{"name": \(vhost)}],
              "exchanges": [
            \(Self.lines(exchangeLines))
              ],
              "queues": [
            \(Self.lines(queueLines))
              ],
              "bindings": [
            \(Self.lines(bindingLines))
              ]
            }

            """
    }

    private static func lines(_ items: [String]) -> String {
        items.map { "    " + $0 }.joined(separator: ",\n")
    }

    private static func object(_ arguments: [String: ArgumentValue]) -> String {
        let members = arguments.inOrder.map { "\(quoted($0.name)): \(json($0.value))" }
        return "{" + members.joined(separator: ", ") + "}"
    }

    private static func json(_ value: ArgumentValue) -> String {
        switch value {
        case .text(let text): quoted(text)
        case .integer(let number): String(number)
        case .flag: "true"
        case .time(let seconds): String(seconds)
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
