/// The bytes of the answers to options.
enum OptionAnswer {
    /// One option reply.
    static func bytes(_ code: UInt32, _ type: OptionReply, _ data: [UInt8] = []) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(20 + data.count)
        bytes.append(bigEndian: Magic.optionReply)
        bytes.append(bigEndian: code)
        bytes.append(bigEndian: type.rawValue)
        bytes.append(bigEndian: UInt32(data.count))
        bytes += data
        return bytes
    }

    /// What INFO and GO tell of an export: always its size and flags, the rest where asked for.
    static func describe(
        _ code: UInt32, _ name: String, _ wanted: Wanted, _ shape: ExportShape,
        structuredReplies: Bool
    ) -> [UInt8] {
        var export: [UInt8] = [0, 0]
        export.append(bigEndian: shape.capacity)
        let flags = TransmissionFlags(shape, structuredReplies: structuredReplies)
        export.append(bigEndian: flags.rawValue)
        var all = bytes(code, .information, export)
        if wanted.contains(.name) {
            all += bytes(code, .information, [0, 1] + Array(name.utf8))
        }
        if wanted.contains(.description) {
            all += bytes(code, .information, [0, 2] + Array(shape.description.utf8))
        }
        if wanted.contains(.blockSize) {
            var sizes: [UInt8] = [0, 3]
            sizes.append(bigEndian: Size.minimumBlock)
            sizes.append(bigEndian: Size.preferredBlock)
            sizes.append(bigEndian: UInt32(Size.largestPayload))
            all += bytes(code, .information, sizes)
        }
        return all
    }
}

extension TransmissionFlags {
    /// The flags of an export.
    ///
    /// What a read-only export would refuse is not offered.
    init(_ shape: ExportShape, structuredReplies: Bool) {
        self = [.hasFlags, .sendFlush, .sendForceUnitAccess, .canMultiConnect, .sendCache]
        if structuredReplies { insert(.sendDontFragment) }
        if shape.isReadOnly {
            insert(.readOnly)
        } else {
            formUnion([.sendTrim, .sendWriteZeroes, .sendFastZero])
        }
    }
}

/// The data of LIST_META_CONTEXT and SET_META_CONTEXT; nil where its lengths do not add up.
struct ContextQuery: Equatable {
    let export: [UInt8]
    /// The names asked for, as far as they may be names of contexts here.
    let names: [String]
    /// For a listing: everything, since nothing was asked for in particular.
    let asksForAll: Bool
    /// For a listing, a name that ends in a colon means everything that begins so.
    private let wildcards: Bool

    init?(_ data: UnsafeRawBufferPointer, wildcards: Bool) {
        var reader = OptionReader(data)
        guard let length = reader.integer(UInt32.self), length <= Size.longestString,
            let export = reader.bytes(Int(length)), let count = reader.integer(UInt32.self)
        else { return nil }
        var names: [String] = []
        // Each turn consumes at least four bytes, so `count` cannot make this long.
        for _ in 0..<count {
            guard let length = reader.integer(UInt32.self), length <= Size.longestString,
                let query = reader.bytes(Int(length))
            else { return nil }
            if query.count <= 64, names.count < 64,
                let name = String(validating: query, as: UTF8.self)
            {
                names.append(name)
            }
        }
        guard reader.isAtEnd else { return nil }
        self.export = Array(export)
        self.names = names
        self.wildcards = wildcards
        asksForAll = wildcards && count == 0
    }

    /// The contexts of an export that are asked for; what it does not have is ignored.
    func contexts(of shape: ExportShape) -> [MetaContext] {
        let all = [MetaContext.allocation] + shape.changeBases.map { .changedSince($0) }
        return all.filter { context in
            asksForAll
                || names.contains { name in
                    name == context.name
                        || (wildcards && name.hasSuffix(":") && context.name.hasPrefix(name))
                }
        }
    }
}
