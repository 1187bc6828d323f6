import TrackBitmap

// Volumes of which nothing may lie in the journal: what they present is about to be replaced.
extension TrackStore {
    /// Brings what the journal holds of some volumes to their files, and keeps the writes that hosts make
    /// meanwhile, and from then on, out of it until `leave`. For those who have entered the volumes.
    ///
    /// The file of a target must be what its own points read under a pending track, and a block with a
    /// record in the journal would be read from there. Once a volume presents a point, its writes
    /// go past the journal by themselves.
    ///
    /// Errors: those with which the journal, or bringing it to the files, has failed.
    func takeOutOfJournal(_ volumes: [Volume]) throws(TrackStoreError) {
        guard let journal = parts.journal else { return }
        for volume in volumes { volume.state.withLock { $0.writesDirectly = true } }
        // A wave that was decided before may still be on its way to the journal.
        parts.epochs.quiesce()
        try journal.drain(volumes)
    }

    /// Writes of these volumes may go to the journal again.
    func giveToJournal(_ numbers: [UInt16]) {
        guard parts.journal != nil else { return }
        let volumes = volumes.withLock { volumes in numbers.compactMap { volumes[$0] } }
        for volume in volumes { volume.state.withLock { $0.writesDirectly = false } }
    }

    /// The volumes whose content an instant replaces.
    func targets(of actions: [InstantAction]) throws(TrackStoreError) -> [Volume] {
        var targets: [Volume] = []
        for action in actions {
            switch action {
            case .point: break
            case .establish(let copy): targets.append(try volume(copy.target))
            case .refresh(let refresh): targets.append(try volume(refresh.target))
            case .reverse(let target, _, _):
                let target = try volume(target)
                targets.append(target)
                if let source = target.inbound?.source { targets.append(source) }
            }
        }
        return targets
    }

    /// Waits until what hosts have been answered before the call is in the files, and what it overwrote is
    /// saved, so that what the store says of its use counts it; for so many milliseconds at most. Where it
    /// cannot be brought to the files, a fact has told that. From any thread that may block.
    public func settleJournal(milliseconds: Int) {
        parts.journal?.settle(milliseconds: milliseconds)
    }

    /// Lets what is in the journal go to the files now, without waiting for it; for tests.
    package func hastenJournal() { parts.journal?.hasten() }

    /// Waits until the files hold what the journal held when it was called; for tests.
    package func drainJournal() throws(TrackStoreError) {
        try parts.journal?.drain(sortedVolumes())
    }
}
