/// W3C trace context, as far as it is carried on.
enum TraceContext {
    /// The header's value where it has the recommendation's form; nil otherwise, as it asks for.
    ///
    /// Source: W3C Trace Context, 3.2.2: version, trace id, parent id and flags in lower-case
    /// hexadecimal; a later version may say more behind a further hyphen.
    static func parent(_ text: String?) -> String? {
        guard let text, text.utf8.count <= 256 else { return nil }
        let fields = text.split(separator: "-", omittingEmptySubsequences: false)
        guard fields.count >= 4, zip(fields, [2, 32, 16, 2]).allSatisfy({ isHex($0, $1) }),
            fields[0] != "ff", fields[0] != "00" || fields.count == 4,
            fields[1].contains(where: { $0 != "0" }), fields[2].contains(where: { $0 != "0" })
        else { return nil }
        return text
    }

    private static func isHex(_ field: Substring, _ count: Int) -> Bool {
        field.utf8.count == count
            && field.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
            }
    }
}
