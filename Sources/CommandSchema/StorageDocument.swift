import CopyModel

// A storage system, described.

extension JSONWriter {
    mutating func storage(_ system: SubjectName, _ volumes: [VolumeReport]) {
        member("storage", system.text)
        key("volumes")
        openArray()
        for volume in volumes { self.volume(volume) }
        closeArray()
    }

    private mutating func volume(_ report: VolumeReport) {
        openObject()
        member("id", report.volume.local.text)
        member("capacity", report.capacity.description)
        member("capacityBytes", report.capacity.bytes)
        member("allocatedBytes", report.allocated.bytes)
        member("safeguardedMultiplier", report.safeguardedMultiplier)
        member("safeguardedUsedBytes", report.safeguardedUsed.bytes)
        member("usedPercent", report.usedPercent)
        key("points")
        openArray()
        for point in report.points { self.point(point) }
        closeArray()
        key("relationship")
        if let inbound = report.inbound { relationship(inbound) } else { null() }
        closeObject()
    }

    private mutating func point(_ point: PointReport) {
        openObject()
        member("tag", point.tag.description)
        member("session", point.tag.session.text)
        member("backupId", point.tag.backup.description)
        member("time", point.time.shortDescription)
        member("capacity", point.capacity.description)
        closeObject()
    }

    private mutating func relationship(_ report: RelationshipReport) {
        openObject()
        attributes(report)
        closeObject()
    }

    /// Writes `relationships`: every one that a storage system has, by its target.
    mutating func relationships(_ volumes: [VolumeReport]) {
        key("relationships")
        openArray()
        for volume in volumes {
            guard let inbound = volume.inbound else { continue }
            openObject()
            member("target", volume.volume.description)
            attributes(inbound)
            closeObject()
        }
        closeArray()
    }

    /// Writes what there is to say of a relationship, as members of an object that is open.
    mutating func attributes(_ report: RelationshipReport) {
        let attributes = report.attributes
        member("source", report.source.description)
        member("tag", orNull: report.presents.tag?.description)
        member("tracksRemaining", report.tracksRemaining)
        member("tracks", report.tracks)
        let done = report.tracks - min(report.tracks, report.tracksRemaining)
        member("percent", Percent.of(done: done, all: report.tracks))
        member("backgroundCopy", report.backgroundCopy)
        member("persistent", attributes.persistent)
        member("incremental", attributes.incremental)
        member("inhibitTargetWrites", attributes.inhibitTargetWrites)
        member("revertible", attributes.revertible)
        member("reverting", attributes.reverting)
        member("fastReverse", attributes.fastReverse)
        member("tracksOutOfSync", orNull: attributes.tracksOutOfSync)
        member("copyRateMiBps", attributes.copyRateMiBps)
        member("bytesPerSecond", attributes.bytesPerSecond)
        member("secondsLeft", orNull: attributes.secondsLeft)
        member("number", orNull: attributes.number == 0 ? nil : String(attributes.number))
        member("establishedTime", orNull: attributes.established.ifKnown?.shortDescription)
        member("flashTime", orNull: attributes.refreshed.ifKnown?.shortDescription)
    }

    private mutating func member(_ name: StaticString, orNull value: UInt64?) {
        key(name)
        if let value { integer(value) } else { null() }
    }
}

extension Timestamp {
    /// The instant; nil at 0, which stands for one that is not known.
    fileprivate var ifKnown: Timestamp? { milliseconds == 0 ? nil : self }
}
