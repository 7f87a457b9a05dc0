// Time as xt_recent, xt_hashlimit and nf_conncount see it: in steps of a 250th of a second (CONFIG_HZ of
// the usual distributions), because that is how fine their answers are.

import Wire

struct Ticks: Hashable, Comparable {
    static let perSecond: UInt64 = 250
    /// What the kernel's `jiffies` stand at when it boots: five minutes before 32 bits overflow.
    static let atBoot: UInt64 = (1 << 32) - 300 * perSecond

    var rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(_ now: Timestamp) { rawValue = now.nanoseconds / (1_000_000_000 / Self.perSecond) }

    /// Rounded up (`msecs_to_jiffies`).
    static func count(milliseconds: UInt32) -> UInt64 {
        (UInt64(milliseconds) * perSecond + 999) / 1000
    }

    static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}
