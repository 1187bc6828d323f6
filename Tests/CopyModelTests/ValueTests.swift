import CopyModel
import Testing

@Suite("Values read and write their published forms")
struct ValueTests {
    @Test(
        "RFC 3339 times are read to the millisecond",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-21T02:00:00.114Z", 1_795_226_400_114),
            ("2026-11-21T03:30:00+01:30", 1_795_226_400_000),
            ("2000-02-29T23:59:60Z", 951_868_800_000),
            ("1969-12-31T23:59:59.999Z", -1), ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ] as [(String, Int64)])
    func times(text: String, milliseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        "what is not RFC 3339 is refused",
        arguments: [
            "2026-11-21", "2026-11-21T02:00:00", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z", "2026-11-21T02:00:00.Z", "2026-11-21T02:00:00Z ", "",
            "0000-01-01T00:00:00Z", "2026-11-21T02:00:00+24:00",
        ])
    func badTimes(text: String) { #expect(Timestamp(rfc3339: text) == nil) }

    @Test("every day of four centuries is written as it is read")
    func roundTrip() {
        for day in Int64(-40_000)...110_000 {
            let time = Timestamp(milliseconds: day * 86_400_000 + 3_723_004)
            #expect(Timestamp(rfc3339: time.description) == time)
        }
    }

    @Test("session names have the contract's form")
    func names() {
        for good in ["a", "payroll", "A-1_b", String(repeating: "x", count: 64)] {
            #expect(SubjectName(good)?.text == good)
        }
        for bad in ["", "-a", "_", "a b", "ä", "a/b", String(repeating: "x", count: 65), "a\0"] {
            #expect(SubjectName(bad) == nil)
        }
    }

    @Test("volumes are a storage system and four hexadecimal digits")
    func volumes() {
        #expect(VolumeID("box1:01aB")?.description == "box1:01ab")
        for bad in ["box1", "box1:", "box1:012", "box1:01000", "box1:01g0", ":0100", "a:b:0100"] {
            #expect(VolumeID(bad) == nil)
        }
    }

    @Test("capacities are whole numbers with a binary unit")
    func capacities() {
        #expect(Capacity("10GiB")?.bytes == 10 << 30)
        #expect(Capacity(bytes: 10 << 30).description == "10GiB")
        #expect(Capacity("65537B")?.tracks == 2)
        for bad in [
            "", "10", "10GB", "GiB", "1.5GiB", "-1GiB", "010MiB", "99999999999TiB", "1 GiB",
        ] {
            #expect(Capacity(bad) == nil)
        }
    }

    @Test("backup ids and tags are read back as written")
    func tags() {
        #expect(PointTag("payroll/1795226400")?.description == "payroll/1795226400")
        for bad in ["payroll", "payroll/", "/1", "payroll/01", "payroll/-1", "a/1/2"] {
            #expect(PointTag(bad) == nil)
        }
    }
}
