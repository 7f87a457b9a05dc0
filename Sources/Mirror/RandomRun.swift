// Many generated cases through both engines, with what they touched, and the small cases that differences
// were reduced to.

public import Scenario

public struct RandomRun {
    public struct Options: Sendable {
        /// How many cases; the first has `seed`, each further one the next number.
        public var cases: Int
        public var seed: UInt64
        /// Per case; beside rules of one's own, those that are about no rule.
        public var packets: Int
        /// Rules to make cases for; `nil` to make rules as well.
        public var rules: OwnRules?
        /// Reduce each case that shows a difference.
        public var shrinks = false

        public init(cases: Int, seed: UInt64, packets: Int = 300, rules: OwnRules? = nil) {
            self.cases = cases
            self.seed = seed
            self.packets = packets
            self.rules = rules
        }

        fileprivate func makeCase(_ seed: UInt64) -> Case {
            rules?.makeCase(seed: seed, packets: packets)
                ?? CaseGenerator.make(seed: seed, packets: packets)
        }
    }

    /// One case and what came of it.
    public struct Result {
        public var seed: UInt64
        public var verdict: Verdict
        /// The case itself, or the small one that it was reduced to.
        public var subject: Case
        /// A difference that did not show itself when the case was run again. It does not count: on a
        /// machine that stands still for a second, limits by time fall on either side of a tick.
        public var passing: Divergence?
    }

    /// What the cases touched so far.
    public private(set) var coverage = Coverage()
    public private(set) var agreement = Agreement()
    public private(set) var divergences = 0
    /// Cases with a difference that did not show itself again.
    public private(set) var passing = 0

    public init() {}

    /// Runs the cases one after the other and says of each how it went. Needs root.
    ///
    /// - Throws: `CaseError` or `KernelPathError` with a case that could not be run: a generated
    ///   case that either engine refuses is a fault of the generator's.
    public mutating func run(_ options: Options, _ each: (Result) throws -> Void) throws {
        for number in 0..<UInt64(options.cases) {
            let seed = options.seed &+ number
            let subject = options.makeCase(seed)
            coverage.followsRules = options.rules != nil
            let verdict = try Mirror.run(subject, coverage: &coverage)
            var result = Result(seed: seed, verdict: verdict, subject: subject)
            if let divergence = verdict.divergence {
                result.verdict = try Mirror.run(subject)
                if result.verdict.divergence == nil {
                    result.passing = divergence
                    passing += 1
                }
            }
            switch result.verdict {
            case .agreement(let more): agreement = agreement + more
            case .divergence(let divergence):
                divergences += 1
                if options.shrinks { result = try Self.shrunk(result, divergence) }
            }
            try each(result)
        }
    }

    /// The smallest case found that shows a difference of the same kind.
    private static func shrunk(_ result: Result, _ divergence: Divergence) throws -> Result {
        let small = shrink(result.subject, divergence)
        var options = Mirror.Options()
        options.traces = true
        let verdict = try Mirror.run(small, options: options)
        // What shows itself only now and then is reported as it was seen.
        guard verdict.divergence != nil else { return result }
        return Result(seed: result.seed, verdict: verdict, subject: small)
    }

    /// - Parameter divergence: what the case is known to show.
    public static func shrink(_ subject: Case, _ divergence: Divergence) -> Case {
        Shrinker.shrink(subject) { candidate in
            guard let found = try Mirror.run(candidate).divergence else { return false }
            return found.place.isOfKind(divergence.place)
        }
    }
}

extension Divergence.Place {
    /// The same thing differs, be it at another packet.
    fileprivate func isOfKind(_ other: Self) -> Bool {
        if case .packet = self, case .packet = other { return true }
        return self == other
    }
}
