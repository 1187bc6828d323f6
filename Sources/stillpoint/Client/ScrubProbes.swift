import ConsoleText
import Glibc
import TrackStore

// `check --scrub`: everything that was saved for backups, read back.
extension Probes {
    /// One a storage system.
    static func scrubs(_ site: Site) -> [Probe] { site.storage.map { scrub($0) } }

    private static func scrub(_ place: Site.Place) -> Probe {
        let key = place.key.split(separator: " ").first.map(String.init) ?? place.key
        return Probe {
            guard access(place.path + "/index", F_OK) == 0 else {
                return [Finding(.ok, key, "nothing is saved yet in \(place.path)")]
            }
            do throws(TrackStoreError) {
                let report = try StorageScrub.run(directory: place.path)
                let whole = report.blocks - report.damages.count
                let summary = Finding(
                    .ok, key, "\(whole) of \(report.blocks) saved blocks are as they were saved")
                return report.damages.map { finding($0, key) } + untold(report, place, key)
                    + [summary]
            } catch {
                return [
                    Finding(
                        .failed, key, "its index cannot be read: \(error)",
                        remedy: "give this user read permission on it, or see to the disk")
                ]
            }
        }
    }

    private static func untold(
        _ report: StorageScrub.Report, _ place: Site.Place, _ key: String
    ) -> [Finding] {
        guard report.isUntold else { return [] }
        return [
            Finding(
                .failed, key, "the worker cannot be told: \(place.path) cannot be written to",
                remedy:
                    "scrub as the worker's user, so that backups which are lost are told as such")
        ]
    }

    private static func finding(_ damage: StorageScrub.Damage, _ key: String) -> Finding {
        let reason =
            damage.errno == 0
            ? "other bytes than were saved" : String(cString: strerror(damage.errno))
        var needing = damage.tags.map { "backup \($0)" }
        needing += damage.targets.map { "the copy on volume \($0)" }
        return Finding(
            .failed, key,
            "volume \(damage.volume), track \(damage.track), block \(damage.block) in "
                + "\(damage.file): \(reason); needed by \(needing.joined(separator: ", "))",
            remedy:
                "the worker tells them as unrecoverable; later backups of the volume do not need it. "
                + "See to the disk")
    }
}
