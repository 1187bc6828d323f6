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
        member("source", report.source.description)
        member("tag", orNull: report.presents.tag?.description)
        member("tracksRemaining", report.tracksRemaining)
        member("tracks", report.tracks)
        let done = report.tracks - min(report.tracks, report.tracksRemaining)
        member("percent", Percent.of(done: done, all: report.tracks))
        member("backgroundCopy", report.backgroundCopy)
        closeObject()
    }
}
