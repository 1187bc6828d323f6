/// Where the published schemas say they are: their `$id`s, for ever.
///
/// The files are the project's `schemas/` directory; the addresses name them and need not resolve.
public enum SchemaPlace {
    /// What every `$id` starts with.
    public static let base = "https://stillpoint.example/schemas/v1/"

    /// What the `$id`s of events' data start with.
    static let eventBase = base + "events/"

    /// The `dataschema` of events of that CloudEvents type.
    public static func data(ofType type: String) -> String {
        "\(eventBase)\(type.dropFirst("stillpoint.".utf8.count)).json"
    }
}
