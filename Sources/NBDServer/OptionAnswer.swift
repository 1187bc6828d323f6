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
struct ContextQuery {
    let export: UnsafeRawBufferPointer
    /// Whether any query names `base:allocation`; queries of other contexts are ignored.
    let selectsAllocation: Bool

    /// `wildcards`: for a listing, where no query at all, or a bare namespace, means everything.
    init?(_ data: UnsafeRawBufferPointer, wildcards: Bool) {
        var reader = OptionReader(data)
        guard let length = reader.integer(UInt32.self), length <= Size.longestString,
            let export = reader.bytes(Int(length)), let count = reader.integer(UInt32.self)
        else { return nil }
        var selected = count == 0 && wildcards
        // Each turn consumes at least four bytes, so `count` cannot make this long.
        for _ in 0..<count {
            guard let length = reader.integer(UInt32.self), length <= Size.longestString,
                let query = reader.bytes(Int(length))
            else { return nil }
            selected = selected || query.elementsEqual(AllocationContext.name.utf8)
            if wildcards, query.elementsEqual(AllocationContext.wildcard.utf8) { selected = true }
        }
        guard reader.isAtEnd else { return nil }
        self.export = export
        self.selectsAllocation = selected
    }
}
