/// The two units in which the storage engine counts.
///
/// The track is the unit of relationships, bitmaps and progress; the block is the unit of saving.
public enum Geometry {
    /// Bytes of a track: 64 KiB.
    public static let track = 65_536
    /// Bytes of a block: 4 KiB.
    public static let block = 4096
    /// Blocks of a track: 16, so that a 16-bit mask names any set of them.
    public static let blocksPerTrack = 16

    /// The number of tracks that cover so many bytes, the last one perhaps in part.
    public static func tracks(covering bytes: UInt64) -> Int {
        Int((bytes + UInt64(track) - 1) / UInt64(track))
    }

    /// The number of blocks that cover so many bytes, the last one perhaps in part.
    public static func blocks(covering bytes: UInt64) -> Int {
        Int((bytes + UInt64(block) - 1) / UInt64(block))
    }
}
