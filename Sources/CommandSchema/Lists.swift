import CopyModel

/// The lists of commands: not empty, bounded, and naming each thing once.
enum Lists {
    static func copySets(_ node: JSONNode) throws(Malformed) -> [CopySet] {
        let list = "/parameters/copySets"
        var known: Set<VolumeID> = []
        return try entries(node, list) { entry, pointer throws(Malformed) in
            var h1: VolumeID?
            var r1: VolumeID?
            var t1: VolumeID?
            for member in try Values.object(entry, at: pointer()) {
                switch member.key {
                case "H1":
                    let volume = try Values.volume(member.value, at: pointer() + "/H1")
                    h1 = try once(volume, &known, pointer() + "/H1")
                case "R1": r1 = try Values.volume(member.value, at: pointer() + "/R1")
                case "T1": t1 = try Values.volume(member.value, at: pointer() + "/T1")
                default: throw unknown(member, pointer())
                }
            }
            return CopySet(h1: try required(h1, "H1", pointer()), r1: r1, t1: t1)
        }
    }

    static func volumes(_ node: JSONNode) throws(Malformed) -> [VolumeID] {
        var known: Set<VolumeID> = []
        return try entries(node, "/parameters/copySets") { entry, pointer throws(Malformed) in
            try once(try Values.volume(entry, at: pointer()), &known, pointer())
        }
    }

    static func localVolumes(_ node: JSONNode) throws(Malformed) -> [LocalVolumeID] {
        var known: Set<LocalVolumeID> = []
        return try entries(node, "/parameters/volumes") { entry, pointer throws(Malformed) in
            try once(try Values.localVolume(entry, at: pointer()), &known, pointer())
        }
    }

    static func parts(_ node: JSONNode) throws(Malformed) -> Set<DocumentPart> {
        var known: Set<DocumentPart> = []
        _ = try entries(node, "/parameters/parts") { entry, pointer throws(Malformed) in
            guard let part = DocumentPart(rawValue: try Values.text(entry, at: pointer())) else {
                let parts = DocumentPart.allCases.map(\.rawValue).joined(separator: ", ")
                throw Malformed(pointer(), "A part is one of \(parts).")
            }
            return try once(part, &known, pointer())
        }
        return known
    }

    static func specifications(_ node: JSONNode) throws(Malformed) -> [VolumeSpecification] {
        var known: Set<LocalVolumeID> = []
        return try entries(node, "/parameters/volumes") { entry, pointer throws(Malformed) in
            let read = try VolumeEntry(
                entry, pointer(), &known, hasCapacity: true, multiplier: "safeguardedMultiplier")
            return VolumeSpecification(
                id: try required(read.id, "id", pointer()),
                capacity: try required(read.capacity, "capacity", pointer()),
                safeguardedMultiplier: read.multiplier ?? 0)
        }
    }

    static func expansions(_ node: JSONNode) throws(Malformed) -> [VolumeExpansion] {
        var known: Set<LocalVolumeID> = []
        return try entries(node, "/parameters/volumes") { entry, pointer throws(Malformed) in
            let read = try VolumeEntry(entry, pointer(), &known, hasCapacity: true, multiplier: nil)
            return VolumeExpansion(
                id: try required(read.id, "id", pointer()),
                capacity: try required(read.capacity, "capacity", pointer()))
        }
    }

    static func multipliers(_ node: JSONNode) throws(Malformed) -> [SafeguardedMultiplier] {
        var known: Set<LocalVolumeID> = []
        return try entries(node, "/parameters/volumes") { entry, pointer throws(Malformed) in
            let read = try VolumeEntry(
                entry, pointer(), &known, hasCapacity: false, multiplier: "multiplier")
            return SafeguardedMultiplier(
                id: try required(read.id, "id", pointer()),
                multiplier: try required(read.multiplier, "multiplier", pointer()))
        }
    }

    static func relationships(
        _ node: JSONNode
    ) throws(Malformed) -> [RelationshipSpecification] {
        var targets: Set<LocalVolumeID> = []
        return try entries(node, "/parameters/relationships") { entry, pointer throws(Malformed) in
            let read = try RelationshipEntry(entry, pointer(), &targets, hasTerms: true)
            return RelationshipSpecification(
                pair: LocalPair(
                    source: try required(read.source, "source", pointer()),
                    target: try required(read.target, "target", pointer())), terms: read.terms)
        }
    }

    static func localPairs(_ node: JSONNode) throws(Malformed) -> [LocalPair] {
        var targets: Set<LocalVolumeID> = []
        return try entries(node, "/parameters/relationships") { entry, pointer throws(Malformed) in
            let read = try RelationshipEntry(entry, pointer(), &targets, hasTerms: false)
            return LocalPair(
                source: try required(read.source, "source", pointer()),
                target: try required(read.target, "target", pointer()))
        }
    }

    // MARK: Shapes

    private static func entries<Entry>(
        _ node: JSONNode, _ list: String,
        _ read: (JSONNode, _ pointer: () -> String) throws(Malformed) -> Entry
    ) throws(Malformed) -> [Entry] {
        let items = try Values.list(node, at: list)
        var taken: [Entry] = []
        taken.reserveCapacity(items.count)
        for index in items.indices {
            taken.append(try read(items[index], { "\(list)/\(index)" }))
        }
        return taken
    }

    fileprivate static func once<Name: Hashable>(
        _ name: Name, _ known: inout Set<Name>, _ pointer: @autoclosure () -> String
    ) throws(Malformed) -> Name {
        guard known.insert(name).inserted else {
            throw Malformed(pointer(), "The list names \(name) already.")
        }
        return name
    }

    private static func required<Value>(
        _ value: Value?, _ key: String, _ entry: @autoclosure () -> String
    ) throws(Malformed) -> Value {
        guard let value else {
            throw Malformed("\(entry())/\(key)", "This member is missing.", lackingIn: entry())
        }
        return value
    }

    fileprivate static func unknown(_ member: JSONMember, _ entry: String) -> Malformed {
        Malformed(entry + JSONPointer.token(member.key), "An entry has no member of this name.")
    }
}

/// One entry of a list of volumes, of which each command takes other members.
private struct VolumeEntry {
    var id: LocalVolumeID?
    var capacity: Capacity?
    var multiplier: Int?

    /// Reads the members in their order; `multiplier` is what the multiplier is called, if there is
    /// one.
    init(
        _ node: JSONNode, _ pointer: @autoclosure () -> String, _ known: inout Set<LocalVolumeID>,
        hasCapacity: Bool, multiplier name: String?
    ) throws(Malformed) {
        for member in try Values.object(node, at: pointer()) {
            switch member.key {
            case "id":
                let volume = try Values.localVolume(member.value, at: pointer() + "/id")
                id = try Lists.once(volume, &known, pointer() + "/id")
            case "capacity" where hasCapacity:
                capacity = try Values.capacity(member.value, at: pointer() + "/capacity")
            case name:
                multiplier = try Values.multiplier(
                    member.value, at: pointer() + JSONPointer.token(member.key))
            default: throw Lists.unknown(member, pointer())
            }
        }
    }
}

/// One entry of a list of relationships; a target has one source, so that a list names each once.
private struct RelationshipEntry {
    var source: LocalVolumeID?
    var target: LocalVolumeID?
    var terms = RelationshipTerms()

    init(
        _ node: JSONNode, _ pointer: @autoclosure () -> String,
        _ targets: inout Set<LocalVolumeID>, hasTerms: Bool
    ) throws(Malformed) {
        for member in try Values.object(node, at: pointer()) {
            switch member.key {
            case "source":
                source = try Values.localVolume(member.value, at: pointer() + "/source")
            case "target":
                let volume = try Values.localVolume(member.value, at: pointer() + "/target")
                target = try Lists.once(volume, &targets, pointer() + "/target")
            case _ where hasTerms: try readTerm(member, pointer())
            default: throw Lists.unknown(member, pointer())
            }
        }
        if terms.incremental { terms.persistent = true }
    }

    private mutating func readTerm(
        _ member: JSONMember, _ pointer: @autoclosure () -> String
    ) throws(Malformed) {
        let place = pointer() + JSONPointer.token(member.key)
        switch member.key {
        case "backgroundCopy": terms.backgroundCopy = try Values.bool(member.value, at: place)
        case "persistent": terms.persistent = try Values.bool(member.value, at: place)
        case "incremental": terms.incremental = try Values.bool(member.value, at: place)
        case "inhibitTargetWrites":
            terms.inhibitTargetWrites = try Values.bool(member.value, at: place)
        case "copyRateMiBps": terms.copyRateMiBps = try Values.rate(member.value, at: place)
        default: throw Lists.unknown(member, pointer())
        }
    }
}
