// `-m statistic`: a share of the packets, by chance or by counting.

struct StatisticParser: MatchParser {
    static let name = "statistic"
    static let options: [OptionSpec] = [
        OptionSpec("mode", 1, mandatory: true),
        OptionSpec("probability", 2, invertible: true, excludes: [3, 4]),
        OptionSpec("every", 3, invertible: true, excludes: [2], requires: [4]),
        OptionSpec("packet", 4, excludes: [2], requires: [3]),
    ]

    private enum Mode { case random, nth }
    /// Random unless said otherwise, as in the kernel's structure of zeros.
    private var mode = Mode.random
    private var probability: UInt32?
    private var every: UInt32?
    private var packet: UInt32?
    private var inverted = false

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        if use.inverted { inverted = true }
        switch use.spec.id {
        case 1:
            switch use.value {
            case "random": mode = .random
            case "nth": mode = .nth
            default:
                throw .parameter(
                    "Bad mode \"\(use.value)\"", word: use.value, expected: "random or nth")
            }
        case 2:
            guard let share = Double(use.value), (0...1).contains(share) else {
                throw Self.outOfRange(use, "0", "1")
            }
            // The kernel compares 31 bits (net/netfilter/xt_statistic.c).
            probability = UInt32((share * 2_147_483_648).rounded())
        case 3:
            guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)), number > 0
            else { throw Self.outOfRange(use, "1", "4294967295") }
            every = UInt32(number)
        default:
            guard let number = CNumber.unsigned(use.value, max: UInt64(UInt32.max)) else {
                throw Self.outOfRange(use, "0", "4294967295")
            }
            packet = UInt32(number)
        }
    }

    func check(_ context: RuleContext) throws(CommandError) {
        switch mode {
        case .random:
            guard probability != nil else {
                throw .parameter("--probability must be specified when using random mode")
            }
        case .nth:
            guard every != nil || packet != nil else {
                throw .parameter("--every and --packet must be specified when using nth mode")
            }
            guard packet ?? 0 < every ?? 0 else {
                throw .parameter("the --packet p must be 0 <= p <= n-1")
            }
        }
    }

    func match() -> Match {
        switch mode {
        case .random:
            .statistic(
                StatisticMatch(.random(probability: probability ?? 0), inverted: inverted))
        case .nth:
            .statistic(
                StatisticMatch(.nth(every: every ?? 1, packet: packet ?? 0), inverted: inverted))
        }
    }
}

extension StatisticMatch: ExtensionText {
    var extensionName: String { "statistic" }

    var saved: String {
        let mark = inverted ? " !" : ""
        switch mode {
        case .random(let probability):
            return " --mode random\(mark) --probability \(Self.elevenDigits(probability))"
        case .nth(let every, let packet):
            return " --mode nth\(mark) --every \(every) --packet \(packet)"
        }
    }

    func listed(_ names: ListingNames) -> String {
        let mark = inverted ? " !" : ""
        switch mode {
        case .random(let probability):
            return " statistic mode random\(mark) probability \(Self.elevenDigits(probability))"
        case .nth(let every, let packet):
            let which = packet == 0 ? "" : " packet \(packet)"
            return " statistic mode nth\(mark) every \(every)\(which)"
        }
    }

    /// `probability` / 2³¹ to eleven digits after the point, rounded half to even as printf does:
    /// the quotient is exact in binary, so integer arithmetic gives printf's digits.
    static func elevenDigits(_ probability: UInt32) -> String {
        let scaled = UInt64(100_000_000_000).multipliedFullWidth(by: UInt64(probability))
        let quotient = scaled.high << 33 | scaled.low >> 31
        let rest = scaled.low & 0x7FFF_FFFF
        let half: UInt64 = 1 << 30
        let up = rest > half || (rest == half && quotient & 1 == 1)
        let rounded = quotient + (up ? 1 : 0)
        let (whole, fraction) = rounded.quotientAndRemainder(dividingBy: 100_000_000_000)
        let digits = String(fraction)
        return "\(whole)." + String(repeating: "0", count: 11 - digits.utf8.count) + digits
    }
}
