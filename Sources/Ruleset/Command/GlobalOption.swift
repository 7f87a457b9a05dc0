// The options of iptables itself, by letter and by long name, and which of them go together.

enum GlobalOption: Character, CaseIterable {
    case append = "A"
    case delete = "D"
    case check = "C"
    case insert = "I"
    case replace = "R"
    case list = "L"
    case listRules = "S"
    case flush = "F"
    case zero = "Z"
    case newChain = "N"
    case deleteChain = "X"
    case renameChain = "E"
    case policy = "P"
    case source = "s"
    case destination = "d"
    case transport = "p"
    case inInterface = "i"
    case outInterface = "o"
    case jump = "j"
    case goto = "g"
    case table = "t"
    case match = "m"
    case numeric = "n"
    case verbose = "v"
    case exact = "x"
    case lineNumbers = "0"
    case fragments = "f"
    case counters = "c"
    case wait = "w"
    case waitInterval = "W"
    case modprobe = "M"
    case version = "V"
    case help = "h"
    case ipv4 = "4"
    case ipv6 = "6"

    enum Argument { case none, required, optional }

    var argument: Argument {
        switch self {
        case .list, .listRules, .flush, .zero, .deleteChain, .wait, .waitInterval, .help:
            .optional
        case .numeric, .verbose, .exact, .lineNumbers, .fragments, .version, .ipv4, .ipv6: .none
        default: .required
        }
    }

    static let longNames: [(name: String, option: GlobalOption)] = [
        ("append", .append), ("delete", .delete), ("check", .check), ("insert", .insert),
        ("replace", .replace), ("list", .list), ("list-rules", .listRules), ("flush", .flush),
        ("zero", .zero), ("new-chain", .newChain), ("delete-chain", .deleteChain),
        ("rename-chain", .renameChain), ("policy", .policy), ("source", .source),
        ("destination", .destination), ("src", .source), ("dst", .destination),
        ("protocol", .transport), ("in-interface", .inInterface), ("jump", .jump),
        ("table", .table), ("match", .match), ("numeric", .numeric),
        ("out-interface", .outInterface), ("verbose", .verbose), ("wait", .wait),
        ("wait-interval", .waitInterval), ("exact", .exact), ("version", .version),
        ("help", .help), ("line-numbers", .lineNumbers), ("modprobe", .modprobe),
        ("goto", .goto), ("ipv4", .ipv4), ("ipv6", .ipv6), ("fragments", .fragments),
        ("set-counters", .counters),
    ]

    /// What the option asks to be done, for those that are commands.
    var command: RuleCommand.Kind? {
        switch self {
        case .append: .append
        case .delete: .delete
        case .check: .check
        case .insert: .insert
        case .replace: .replace
        case .list: .list
        case .listRules: .listRules
        case .flush: .flush
        case .zero: .zero
        case .newChain: .newChain
        case .deleteChain: .deleteChain
        case .renameChain: .renameChain
        case .policy: .policy
        default: nil
        }
    }
}

/// One command with everything that was said, ready to be carried out.
struct RuleCommand {
    enum Kind: Character {
        case append = "A"
        case delete = "D"
        /// `-D CHAIN N`.
        case deleteNumber = "d"
        case check = "C"
        case insert = "I"
        case replace = "R"
        case list = "L"
        case listRules = "S"
        case flush = "F"
        case zero = "Z"
        /// `-Z CHAIN N`.
        case zeroNumber = "z"
        case newChain = "N"
        case deleteChain = "X"
        case renameChain = "E"
        case policy = "P"

        /// The letter that a person typed.
        var letter: Character {
            switch self {
            case .deleteNumber: "D"
            case .zeroNumber: "Z"
            default: rawValue
            }
        }

        var takesRule: Bool {
            [.append, .delete, .check, .insert, .replace].contains(self)
        }

        /// Options that mean nothing to the command, as letters, in the order of the complaint.
        var illegalOptions: String {
            switch self {
            case .append, .insert, .replace, .check: "nx0"
            case .delete: "nx0c"
            case .deleteNumber: "nsdpjxio0cf"
            case .list: "sdpjiocf"
            case .listRules: "nsdpjxio0cf"
            case .policy: "nsdpjxio0f"
            default: "nsdpjxio0cf"
            }
        }
    }

    var kind: Kind
    /// `-L -Z`: zero what was listed.
    var alsoZero = false
    var table = TableName.filter
    var chain: String?
    var newName = ""
    var policy = ""
    var number: Int?
    /// The rules that a comma list of addresses makes; identities are given on entry to a chain.
    var rules: [Rule] = []
    var verbose = false
    var numeric = false
    var exact = false
    var lineNumbers = false
    /// Not errors, yet said on standard error.
    var warnings = ""
}
