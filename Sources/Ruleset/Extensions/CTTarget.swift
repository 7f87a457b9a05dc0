// `CT` and `NOTRACK`: what connection tracking is to make of a packet, said before it looks. Helpers and
// timeout policies are refused by name: there are none.

struct CTParser: TargetParser {
    static let name = "CT"
    static let options: [OptionSpec] = [
        OptionSpec("notrack", 1, takesArgument: false), OptionSpec("helper", 2),
        OptionSpec("timeout", 3), OptionSpec("ctevents", 4), OptionSpec("expevents", 5),
        OptionSpec("zone-orig", 6), OptionSpec("zone-reply", 7), OptionSpec("zone", 8),
    ]
    /// In the kernel's order (`enum ip_conntrack_events`).
    static let eventNames = [
        "new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark",
        "natseqinfo", "secmark",
    ]

    private var value = CTTarget()
    private var directions: CTTarget.Directions = []

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        switch use.spec.id {
        case 1: value.notrack = true
        case 2, 3:
            var error = CommandError.parameter(
                "CT: option \"\(use.option)\" is not supported.\n", word: use.option)
            error.note =
                "Sluice has no connection tracking helpers and no timeout policies; "
                + "\(use.option) is not supported"
            throw error
        case 4:
            let events = try events(use, Self.eventNames)
            value.events = events
        case 5: value.expectationEvents = try !events(use, ["new"]).isEmpty
        default: try takeZone(use)
        }
    }

    private mutating func takeZone(_ use: OptionUse) throws(CommandError) {
        if use.spec.id == 6 { directions.insert(.original) }
        if use.spec.id == 7 { directions.insert(.reply) }
        if use.value.lowercased() == "mark" {
            value.zone = .mark
        } else if let number = CNumber.unsigned(use.value, max: UInt64(UInt16.max)) {
            value.zone = .number(UInt16(number))
        } else {
            throw .parameter(
                "Cannot parse \(use.value) as a zone ID", word: use.value,
                expected: "a number from 0 to 65535, or mark")
        }
    }

    private func events(
        _ use: OptionUse, _ names: [String]
    ) throws(CommandError) -> CTTarget.Events {
        var events: CTTarget.Events = []
        for word in use.value.split(separator: ",", omittingEmptySubsequences: false) {
            guard let place = names.firstIndex(of: String(word)) else {
                throw .parameter(
                    "Unknown event type \"\(word)\"", word: String(word),
                    expected: names.joined(separator: ", "))
            }
            events.insert(CTTarget.Events(rawValue: 1 << UInt16(place)))
        }
        return events
    }

    func target() -> Target {
        var target = value
        if !directions.isEmpty { target.directions = directions }
        return .ct(target)
    }
}

struct NotrackParser: TargetParser {
    static let name = "NOTRACK"
    static let options: [OptionSpec] = []
    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {}
    func target() -> Target { .notrack }
}

extension CTTarget: ExtensionText {
    var extensionName: String { "CT" }

    private func text(_ dashes: String) -> String {
        var text = notrack ? " \(dashes)notrack" : ""
        if !events.isEmpty {
            let names = CTParser.eventNames.enumerated().filter {
                events.contains(Events(rawValue: 1 << UInt16($0.offset)))
            }
            text += " \(dashes)ctevents " + names.map(\.element).joined(separator: ",")
        }
        if expectationEvents { text += " \(dashes)expevents new" }
        guard zone != .number(0) else { return text }
        text += " \(dashes)zone"
        if directions == .original { text += "-orig" }
        if directions == .reply { text += "-reply" }
        switch zone {
        case .number(let number): return text + " \(number)"
        case .mark: return text + " mark"
        }
    }

    var saved: String { text("--") }
    func listed(_ names: ListingNames) -> String { " CT" + text("") }
}

/// An alias of `CT --notrack`, which the list of rules shows under its proper name.
struct NotrackText: ExtensionText {
    var extensionName: String { "NOTRACK" }
    var saved: String { "" }
    func listed(_ names: ListingNames) -> String { " NOTRACK" }
}
