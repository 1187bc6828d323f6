/// What the threads of a store share.
struct StoreParts: Sendable {
    let catalogue: Catalogue
    let epochs: Epochs
    let stamps: Stamps
    let index: SavedIndex
    let recording: ChangeRecording
    let reclaimer: Reclaimer
    /// Nil: hosts' writes go to the files.
    let journal: WriteJournal?
    let damages: Damages
    let makeIO: BlockIOFactory
    /// For control functions, which mostly sync: no ring is worth making for them.
    let makeControlIO: BlockIOFactory
    let tell: @Sendable (TrackStoreFact) -> Void
    /// Control functions are done one after the other.
    let control = Monitor(ControlState())

    init(
        catalogue: Catalogue, journal: WriteJournal?, makeIO: @escaping BlockIOFactory,
        makeControlIO: @escaping BlockIOFactory,
        tell: @escaping @Sendable (TrackStoreFact) -> Void
    ) {
        self.catalogue = catalogue
        self.journal = journal
        self.makeIO = makeIO
        self.makeControlIO = makeControlIO
        self.tell = tell
        epochs = Epochs()
        stamps = Stamps()
        index = SavedIndex(catalogue: catalogue, makeIO: makeIO, tell: tell)
        recording = ChangeRecording(catalogue: catalogue)
        reclaimer = Reclaimer(
            catalogue: catalogue, index: index, epochs: epochs, makeIO: makeIO, tell: tell)
        damages = Damages(
            catalogue: catalogue, index: index, epochs: epochs, makeIO: makeIO, tell: tell)
    }
}
