// `-m hashlimit`: a rate for each flow. The average is kept as the option's structure keeps it, so that
// what is printed is what the kernel was given, rounding included.

import Wire

struct HashlimitParser: MatchParser {
    static let name = "hashlimit"
    static let options: [OptionSpec] = [
        OptionSpec("hashlimit-upto", 1, invertible: true, excludes: [2]),
        OptionSpec("hashlimit-above", 2, invertible: true, excludes: [1]),
        OptionSpec("hashlimit", 1, invertible: true, excludes: [2]),
        OptionSpec("hashlimit-srcmask", 3), OptionSpec("hashlimit-dstmask", 4),
        OptionSpec("hashlimit-burst", 5), OptionSpec("hashlimit-htable-size", 6),
        OptionSpec("hashlimit-htable-max", 7), OptionSpec("hashlimit-htable-gcinterval", 8),
        OptionSpec("hashlimit-htable-expire", 9), OptionSpec("hashlimit-mode", 10),
        OptionSpec("hashlimit-name", 11, mandatory: true),
        OptionSpec("hashlimit-rate-match", 12, takesArgument: false),
        OptionSpec("hashlimit-rate-interval", 13),
    ]
    static let scale: UInt64 = 1_000_000
    private static let longestName = 254

    private var value = HashlimitMatch(name: "", average: 0)
    private var hasRate = false
    private var burst: UInt64?
    private var expiry: UInt32?
    /// Seconds of the rate's unit; 15 for bytes.
    private var unit: UInt64 = 1

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1, 2:
            value.above = (use.spec.id == 2) != use.inverted
            try takeRate(use)
        case 3: value.sourceLength = UInt32(try Self.mask(use.value, use).nonzeroBitCount)
        case 4: value.destinationLength = UInt32(try Self.mask(use.value, use).nonzeroBitCount)
        case 5: burst = try Self.burst(use)
        case 6: value.size = try number(use)
        case 7: value.most = try number(use)
        case 8: value.collectionInterval = try number(use)
        case 9: expiry = try number(use)
        case 10: try takeMode(use)
        case 11:
            guard !use.value.isEmpty else {
                throw .parameter("Argument must have a minimum length of 1 characters\n", word: "")
            }
            value.name = String(use.value.prefix(Self.longestName))
        case 12: value.matchesRate = true
        default:
            guard let (interval, _) = RateText.parse(use.value), interval < 1 << 31 else {
                throw bad(use)
            }
            value.interval = interval
        }
    }

    private func bad(_ use: OptionUse) -> CommandError {
        let name = use.spec.id == 1 ? "--hashlimit-upto" : use.option
        return .parameter(
            "hashlimit: Bad value for \"\(name)\" option: \"\(use.value)\"", word: use.value)
    }

    private func number(_ use: OptionUse) throws(CommandError) -> UInt32 {
        guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)) else {
            throw Self.outOfRange(use, "0", "4294967295")
        }
        return UInt32(number)
    }

    private mutating func takeMode(_ use: OptionUse) throws(CommandError) {
        for word in use.value.split(whereSeparator: { $0 == "," || $0 == "|" }) {
            switch word {
            case "dstip": value.keys.insert(.destination)
            case "srcip": value.keys.insert(.source)
            case "dstport": value.keys.insert(.destinationPort)
            case "srcport": value.keys.insert(.sourcePort)
            default: throw bad(use)
            }
        }
    }

    // MARK: Rates

    private mutating func takeRate(_ use: OptionUse) throws(CommandError) {
        hasRate = true
        if let bytes = try Self.bytes(use) {
            value.countsBytes = true
            value.average = HashlimitMatch.cost(bytes: bytes)
            unit = 15
            return
        }
        guard let (number, seconds) = RateText.parse(use.value) else { throw bad(use) }
        value.average = Self.scale * seconds / UInt64(number)
        unit = seconds
        guard value.average > 0 else {
            throw .parameter(
                "Rate too fast \"\(use.value)\"", word: use.value,
                expected: "1000000/second at most")
        }
    }

    /// `NUMBER[k|m]b/s`, or `nil` where it is a rate of packets.
    private static func bytes(_ use: OptionUse) throws(CommandError) -> UInt64? {
        guard let range = use.value.firstRange(of: "b/s"), range.lowerBound > use.value.startIndex
        else { return nil }
        let digits = use.value.prefix { $0.isASCII && $0.isNumber }
        guard let number = UInt64(digits), number > 0 else { return nil }
        let factor = factor(use.value[use.value.index(before: range.lowerBound)])
        let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
        guard !overflow else {
            throw .parameter("Rate too high \"\(use.value)\"", word: use.value)
        }
        return bytes
    }

    private static func factor(_ letter: Character?) -> UInt64 {
        letter == "m" ? 1 << 20 : letter == "k" ? 1 << 10 : 1
    }

    private static func burst(_ use: OptionUse) throws(CommandError) -> UInt64 {
        guard let (number, rest) = CNumber.prefix(use.value), number > 0,
            !rest.isEmpty || number <= 1_000_000
        else { throw badBurst(use.value) }
        return number &* factor(rest.first)
    }

    private static func badBurst(_ word: String) -> CommandError {
        .parameter(
            "bad value for option \"--hashlimit-burst\", or out of range (1-1000000).", word: word,
            expected: "a number from 1 to 1000000, or bytes with k or m")
    }

    // MARK: The whole

    func check(_ context: RuleContext) throws(CommandError) {
        guard hasRate else { throw .parameter("You have to specify --hashlimit") }
        guard value.countsBytes else {
            if let burst, burst > 1_000_000 { throw Self.badBurst("\(burst)") }
            return
        }
        let bytes = HashlimitMatch.bytes(cost: value.average)
        if let burst, burst < bytes {
            throw .parameter("burst cannot be smaller than \(bytes)b", word: "\(burst)")
        }
    }

    func match() -> Match {
        var match = value
        match.expiry = expiry ?? UInt32(unit * 1000)
        if value.countsBytes {
            match.burst = 0
            if let burst {
                let bytes = max(1, HashlimitMatch.bytes(cost: value.average))
                match.burst = burst / bytes + (burst % bytes == 0 ? 0 : 1)
                match.expiry = expiry ?? 60_000
            }
        } else {
            match.burst = burst ?? 5
        }
        if match.matchesRate {
            if !match.countsBytes { match.average /= unit }
            if match.interval == 0 { match.interval = match.countsBytes ? 1 : UInt32(unit) }
        }
        return .hashlimit(match)
    }
}

extension HashlimitMatch {
    /// The cost of 16 bytes where `bytes` a second are allowed, and back.
    static func cost(bytes: UInt64) -> UInt64 {
        UInt64(UInt32.max) / (UInt64(UInt32(truncatingIfNeeded: bytes >> 4)) + 1)
    }

    static func bytes(cost: UInt64) -> UInt64 {
        let pieces = cost == 0 ? UInt64(UInt32.max) : UInt64(UInt32.max) / cost
        return (pieces &- 1) << 4
    }

    private static let units: [(name: String, bytes: UInt64)] = [
        ("m", 1 << 20), ("k", 1 << 10), ("", 1),
    ]

    /// ` 512kb/s burst 1mb` with `burst` before the burst; and the expiry that goes without saying.
    private func bytesText(_ dashes: String) -> (text: String, expiry: UInt64) {
        let bytes = Self.bytes(cost: average)
        let unit =
            Self.units.first {
                // The tool's mask has 32 bits: of more than 4 GB/s it shows the bytes.
                bytes >= $0.bytes
                    && Self.cost(bytes: bytes & UInt64(~UInt32($0.bytes - 1))) == average
            } ?? Self.units[2]
        let text = " \(bytes / unit.bytes)\(unit.name)b/s"
        guard burst > 0 else { return (text, 15_000) }
        let whole = bytes &* burst
        let large = Self.units.first { whole >= $0.bytes } ?? Self.units[2]
        return (text + " \(dashes)burst \(whole / large.bytes)\(large.name)b", 60_000)
    }

    private func rateText(period: UInt64) -> (text: String, expiry: UInt64) {
        let (rate, unit) = RateText.rate(period: period, scale: HashlimitParser.scale)
        return (" \(rate)/\(unit.name)", unit.seconds * 1000)
    }

    private func keysText(_ separator: String) -> String {
        let all: [(Keys, String)] = [
            (.source, "srcip"), (.sourcePort, "srcport"), (.destination, "dstip"),
            (.destinationPort, "dstport"),
        ]
        return all.filter { keys.contains($0.0) }.map(\.1).joined(separator: separator)
    }

    private func tableText(_ dashes: String, expiry usual: UInt64) -> String {
        var text = size > 0 ? " \(dashes)htable-size \(size)" : ""
        if most > 0 { text += " \(dashes)htable-max \(most)" }
        if collectionInterval != 1000 {
            text += " \(dashes)htable-gcinterval \(collectionInterval)"
        }
        if UInt64(expiry) != usual { text += " \(dashes)htable-expire \(expiry)" }
        if sourceLength != 32 { text += " \(dashes)srcmask \(sourceLength)" }
        if destinationLength != 32 { text += " \(dashes)dstmask \(destinationLength)" }
        guard matchesRate else { return text }
        return text + " \(dashes)rate-match"
            + (interval == 1 ? "" : " \(dashes)rate-interval \(interval)")
    }
}

extension HashlimitMatch: ExtensionText {
    var extensionName: String { "hashlimit" }

    var saved: String {
        let rate = countsBytes ? bytesText("--hashlimit-") : rateText(period: average)
        var text = " --hashlimit-\(above ? "above" : "upto")" + rate.text
        if !countsBytes { text += " --hashlimit-burst \(burst)" }
        if !keys.isEmpty { text += " --hashlimit-mode \(keysText(","))" }
        return text + " --hashlimit-name \(name.nameForSave)"
            + tableText("--hashlimit-", expiry: rate.expiry)
    }

    /// The period is that of the interval, as the tool has it.
    func listed(_ names: ListingNames) -> String {
        let rate =
            countsBytes ? bytesText("") : rateText(period: average * UInt64(max(1, interval)))
        var text = " limit: \(above ? "above" : "up to")" + rate.text
        if !countsBytes { text += " burst \(burst)" }
        if !keys.isEmpty { text += " mode \(keysText("-"))" }
        return text + tableText("", expiry: rate.expiry)
    }
}

extension HashlimitMatch {
    /// Credits per jiffy and jiffies per second (250), as xt_hashlimit.c reckons them.
    public static let creditsPerTick: UInt64 = 1 << 39
    public static let byteCreditsPerTick: UInt64 = 1 << 24
    public static let ticksPerSecond: UInt64 = 250

    public static func credits(_ microseconds: UInt64) -> UInt64 {
        microseconds &* (ticksPerSecond * creditsPerTick / HashlimitParser.scale)
    }

    public static func byteCredits(_ cost: UInt64) -> UInt64 {
        (cost &* (ticksPerSecond * byteCreditsPerTick)) >> 32
    }

    /// What the kernel refuses as invalid (xt_hashlimit.c, hashlimit_mt_check_common).
    var objection: String? {
        if let objection = ProcName.objection(to: name, longest: 254) { return objection }
        if collectionInterval == 0 || expiry == 0 { return "an interval of 0 never ends" }
        if countsBytes, !matchesRate, Self.byteCredits(average) == 0 {
            return "the kernel cannot reckon with so high a rate"
        }
        return nil
    }

    /// What it refuses as out of range.
    var rangeObjection: String? {
        if matchesRate {
            return average == 0 || average > UInt64(UInt32.max) ? "no such rate" : nil
        }
        guard !countsBytes else { return nil }
        return burst == 0 || Self.credits(average &* burst) < Self.credits(average)
            ? "the kernel cannot reckon with so large a burst at so low a rate" : nil
    }
}
