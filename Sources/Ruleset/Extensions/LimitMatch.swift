// `-m limit`: a rate with a burst. iptables-nft makes nft's own `limit` of it, which knows whole
// packets per second, minute, hour or day; what does not fit is rounded as there.

import Wire

struct LimitParser: MatchParser {
    static let name = "limit"
    static let options = [OptionSpec("limit", 1), OptionSpec("limit-burst", 2)]
    private static let scale: UInt32 = 10_000

    /// Time between two packets in units of 100 µs, as the option's structure keeps it.
    private var period: UInt32 = Self.scale * 3600 / 3
    private var burst: UInt32 = 5

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        if use.spec.id == 1 {
            period = try Self.period(use)
            return
        }
        guard let number = CNumber.unsigned(use.value, max: 10_000) else {
            throw Self.outOfRange(use, "0", "10000")
        }
        // The kernel takes no burst for the usual one (nft_limit.c).
        burst = number == 0 ? 5 : UInt32(number)
    }

    private static func period(_ use: OptionUse) throws(CommandError) -> UInt32 {
        guard let (number, unit) = RateText.parse(use.value) else {
            throw .parameter(
                "bad rate \"\(use.value)\"'", word: use.value,
                expected: "a number of packets, then /second, /minute, /hour or /day")
        }
        let period = UInt64(scale) * UInt64(unit) / UInt64(number)
        guard period > 0 else {
            throw .parameter(
                "Rate too fast \"\(use.value)\"", word: use.value, expected: "10000/second at most")
        }
        return UInt32(period)
    }

    func match() -> Match {
        let (rate, unit) = RateText.rate(period: UInt64(period), scale: UInt64(Self.scale))
        return .limit(LimitMatch(rate: UInt32(rate), unit: UInt32(unit.seconds), burst: burst))
    }
}

extension LimitMatch: ExtensionText {
    var extensionName: String { "limit" }

    private var rateText: String {
        RateText.text(period: 10_000 * UInt64(unit) / UInt64(rate), scale: 10_000)
    }

    var saved: String { " --limit \(rateText)" + (burst == 5 ? "" : " --limit-burst \(burst)") }
    func listed(_ names: ListingNames) -> String { " limit: avg \(rateText) burst \(burst)" }
}

/// Rates as `limit` and `hashlimit` take and print them.
enum RateText {
    typealias Unit = (name: String, seconds: UInt64)
    private static let units: [Unit] = [("day", 86_400), ("hour", 3600), ("min", 60), ("sec", 1)]
    private static let words: [Unit] = [
        ("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400),
    ]

    /// `NUMBER[/UNIT]`, the unit as short as one likes; what stands between number and slash is passed
    /// over, as `atoi` does.
    static func parse(_ text: String) -> (number: UInt32, seconds: UInt64)? {
        var seconds: UInt64 = 1
        if let slash = text.firstIndex(of: "/") {
            let unit = String(text[text.index(after: slash)...])
            guard let found = words.first(where: { unit.abbreviates($0.name) }) else { return nil }
            seconds = found.seconds
        }
        let negative = text.hasPrefix("-")
        let digits = text.drop { $0 == " " || $0 == "-" }.prefix { $0.isASCII && $0.isNumber }
        guard let magnitude = UInt32(digits), magnitude > 0 else { return nil }
        return (negative ? 0 &- magnitude : magnitude, seconds)
    }

    /// The largest unit in which the period is a whole rate, or nearly.
    static func rate(period: UInt64, scale: UInt64) -> (rate: UInt64, unit: Unit) {
        var chosen = 0
        for index in 1..<units.count {
            let whole = units[index].seconds * scale
            if period > whole || whole / period < whole % period { break }
            chosen = index
        }
        return (units[chosen].seconds * scale / period, units[chosen])
    }

    static func text(period: UInt64, scale: UInt64) -> String {
        guard period > 0 else { return "inf" }
        let (rate, unit) = rate(period: period, scale: scale)
        return "\(rate)/\(unit.name)"
    }
}
