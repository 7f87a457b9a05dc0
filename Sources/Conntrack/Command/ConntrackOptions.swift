// The options of conntrack 1.4.7: their names, which of them take a value, and which go with which
// command (conntrack.c, commands_v_options; extensions/libct_proto_*.c).

enum ConntrackOption: Hashable {
    // Commands.
    case list, create, add, delete, update, get, flush, events, count, statistics, version, help
    // Common options, in the order in which the tool checks them.
    case originalSource, originalDestination, replySource, replyDestination, protocolName
    case timeout, status, zero, eventMask, expectSource, expectDestination, maskSource
    case maskDestination, natRange, mark, id, family, sourceNAT, destinationNAT, output
    case securityMark, bufferSize, anyNAT, zone, label, labelAdd, labelDelete
    case originalZone, replyZone
    // Options of a protocol.
    case portSource, portDestination, replyPortSource, replyPortDestination
    case maskPortSource, maskPortDestination, tuplePortSource, tuplePortDestination, tcpState
    case icmpType, icmpCode, icmpID

    enum Value { case none, required, optional }

    var value: Value {
        switch self {
        case .list, .create, .add, .delete, .update, .get, .flush, .events, .count, .statistics,
            .version, .help:
            .optional
        case .sourceNAT, .destinationNAT, .anyNAT, .labelDelete: .optional
        case .zero: .none
        default: .required
        }
    }

    var isCommand: Bool { Self.commands.contains(self) }
    private static let commands: Set<ConntrackOption> = [
        .list, .create, .add, .delete, .update, .get, .flush, .events, .count, .statistics,
        .version, .help,
    ]
}

enum ConntrackOptionTable {
    static let short: [Character: ConntrackOption] = [
        "L": .list, "I": .create, "A": .add, "D": .delete, "U": .update, "G": .get, "F": .flush,
        "E": .events, "C": .count, "S": .statistics, "V": .version, "h": .help,
        "s": .originalSource, "d": .originalDestination, "r": .replySource, "q": .replyDestination,
        "p": .protocolName, "t": .timeout, "u": .status, "z": .zero, "e": .eventMask,
        "a": .natRange, "m": .mark, "c": .securityMark, "i": .id, "f": .family, "n": .sourceNAT,
        "g": .destinationNAT, "o": .output, "b": .bufferSize, "j": .anyNAT, "w": .zone,
        "l": .label,
    ]

    /// The tool's order: error texts name the first option of this list that fails.
    static let common: [(name: String, option: ConntrackOption)] = [
        ("src", .originalSource), ("dst", .originalDestination), ("reply-src", .replySource),
        ("reply-dst", .replyDestination), ("protonum", .protocolName), ("timeout", .timeout),
        ("status", .status), ("zero", .zero), ("event-mask", .eventMask),
        ("tuple-src", .expectSource), ("tuple-dst", .expectDestination),
        ("mask-src", .maskSource), ("mask-dst", .maskDestination), ("nat-range", .natRange),
        ("mark", .mark), ("id", .id), ("family", .family), ("src-nat", .sourceNAT),
        ("dst-nat", .destinationNAT), ("output", .output), ("secmark", .securityMark),
        ("buffer-size", .bufferSize), ("any-nat", .anyNAT), ("zone", .zone), ("label", .label),
        ("label-add", .labelAdd), ("label-del", .labelDelete), ("orig-zone", .originalZone),
        ("reply-zone", .replyZone),
    ]

    static let long: [(name: String, option: ConntrackOption)] =
        [
            ("dump", .list), ("create", .create), ("add", .add), ("delete", .delete),
            ("update", .update), ("get", .get), ("flush", .flush), ("event", .events),
            ("counter", .count), ("stats", .statistics), ("version", .version), ("help", .help),
            ("orig-src", .originalSource), ("orig-dst", .originalDestination),
        ] + common

    static let ports: [(name: String, option: ConntrackOption)] = [
        ("orig-port-src", .portSource), ("sport", .portSource),
        ("orig-port-dst", .portDestination), ("dport", .portDestination),
        ("reply-port-src", .replyPortSource), ("reply-port-dst", .replyPortDestination),
        ("mask-port-src", .maskPortSource), ("mask-port-dst", .maskPortDestination),
        ("tuple-port-src", .tuplePortSource), ("tuple-port-dst", .tuplePortDestination),
    ]
    static let icmp: [(name: String, option: ConntrackOption)] = [
        ("icmp-type", .icmpType), ("icmp-code", .icmpCode), ("icmp-id", .icmpID),
    ]

    /// What a command allows of the common options: a digit for each, in the order of `common`;
    /// 0 forbidden, 1 required, 2 allowed, 3 in pairs.
    static func legality(_ command: ConntrackOption?, expectations: Bool) -> [Character] {
        let digits =
            switch (command, expectations) {
            case (.list, false): "22222022000220202222202220022"
            case (.delete, false): "22222220000220222222000220022"
            case (.get, false): "33331000000000020002000020000"
            case (.flush, false): "00000000000000002000000000000"
            case (.events, false): "22222000200220202222222220022"
            case (.help, _): "00002000000000000000000000000"
            case (.list, true): "00000000000000002002000000000"
            case (.delete, true), (.get, true): "11221000000000000000000000000"
            case (.events, true): "00000000000000000002000000000"
            default: "00000000000000000000000000000"
            }
        return Array(digits)
    }
}
