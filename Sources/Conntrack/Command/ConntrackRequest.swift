// What a `conntrack` command line asks for, as a value. Whoever owns the table carries it out; this
// file knows neither tables nor sockets.

import Wire

public struct ConntrackRequest: Hashable, Sendable {
    public enum Action: Hashable, Sendable {
        /// -L. The answer is filtered by `filter`.
        case list
        /// -L dying, -L unconfirmed: always empty here, since neither outlives a packet.
        case listTransient
        /// -G: the connection of this tuple.
        case get(Tuple)
        /// -D.
        case delete
        /// -F.
        case flush
        /// -F -f ipv6: says that it emptied the table, and there was nothing in it.
        case flushOtherFamily
        /// -C.
        case count
        /// -S.
        case statistics
        /// -E.
        case events(EventKinds)
        case listExpectations
        case flushExpectations
        case countExpectations
        case expectationStatistics
        case expectationEvents
    }

    public struct EventKinds: OptionSet, Hashable, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static let new = Self(rawValue: 1 << 0)
        public static let updates = Self(rawValue: 1 << 1)
        public static let destroy = Self(rawValue: 1 << 2)
        public static let all: Self = [.new, .updates, .destroy]

        public func contains(_ kind: ConnectionEvent.Kind) -> Bool {
            switch kind {
            case .new: contains(Self.new)
            case .update: contains(Self.updates)
            case .destroy: contains(Self.destroy)
            }
        }
    }

    public var action: Action
    public var filter = ConnectionFilter()
    public var output: ConntrackOutput = []
    /// -z: zero the counters that were listed.
    public var zeroesCounters = false
    /// Goes to standard error before anything else.
    public var warnings = ""

    public init(action: Action) { self.action = action }
}

/// `-o`.
public struct ConntrackOutput: OptionSet, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let extended = Self(rawValue: 1 << 0)
    public static let timestamp = Self(rawValue: 1 << 1)
    public static let id = Self(rawValue: 1 << 2)
    public static let kernelTimestamp = Self(rawValue: 1 << 3)
    public static let save = Self(rawValue: 1 << 4)
    /// Accepted: there are no labels, so none are printed.
    public static let labels = Self(rawValue: 1 << 5)
}

/// What a command printed and how it ended.
public struct ConntrackOutcome: Hashable, Sendable {
    public var output: String
    public var error: String
    public var status: Int32

    public init(output: String = "", error: String = "", status: Int32) {
        self.output = output
        self.error = error
        self.status = status
    }
}

extension ConntrackRequest {
    /// What goes to standard error once the request was carried out, and the exit status. `count`
    /// is the number of entries shown, deleted or reported.
    public func conclusion(count: Int) -> (error: String, status: Int32) {
        switch action {
        case .list, .listTransient:
            (ConntrackText.trailer("\(count) flow entries have been shown."), 0)
        case .get:
            (ConntrackText.trailer("\(count) flow entries have been shown."), count == 0 ? 1 : 0)
        case .delete:
            (ConntrackText.trailer("\(count) flow entries have been deleted."), count == 0 ? 1 : 0)
        case .events:
            (ConntrackText.trailer("\(count) flow events have been shown."), 0)
        case .expectationEvents:
            (ConntrackText.trailer("\(count) expectation events have been shown."), 0)
        case .flush, .flushOtherFamily:
            (ConntrackText.trailer("connection tracking table has been emptied."), 0)
        case .flushExpectations:
            (ConntrackText.trailer("expectation table has been emptied."), 0)
        case .listExpectations:
            (ConntrackText.trailer("0 expectations have been shown."), 0)
        case .count, .countExpectations, .statistics, .expectationStatistics:
            ("", 0)
        }
    }

    /// -G for a tuple that no connection has.
    public static var noSuchConnection: ConntrackOutcome {
        ConntrackOutcome(
            error: ConntrackText.trailer("Operation failed: such conntrack doesn't exist"),
            status: 1)
    }
}
