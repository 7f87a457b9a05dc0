// One setting under the kernel's name, as sysctl(8) reads and writes it: a whole number in a range.
// Refuses to know where the value takes effect: that is the owner's affair.

/// A setting of `Owner` under its name in /proc/sys, with dots.
public struct NamedSetting<Owner>: Sendable {
    /// Such as `net.netfilter.nf_conntrack_udp_timeout`.
    public let name: String
    private let read: @Sendable (Owner) -> Int64
    /// `nil` where it can only be read.
    private let change: (@Sendable (inout Owner, Int64) -> Void)?
    private let values: @Sendable (Owner) -> ClosedRange<Int64>

    public init(
        _ name: String, _ values: @escaping @Sendable (Owner) -> ClosedRange<Int64>,
        get: @escaping @Sendable (Owner) -> Int64,
        set: (@Sendable (inout Owner, Int64) -> Void)?
    ) {
        self.name = name
        self.values = values
        read = get
        change = set
    }

    public var isReadOnly: Bool { change == nil }

    public func text(of owner: Owner) -> String { String(read(owner)) }

    /// Writes what the text says.
    ///
    /// - Throws: what would have been accepted, where the text is nothing of it.
    public func write(_ text: String, to owner: inout Owner) throws(SettingFailure) {
        guard let change else { throw .readOnly }
        let values = values(owner)
        guard let number = Int64(setting: text), values.contains(number) else {
            throw .expected(values)
        }
        change(&owner, number)
    }

    /// The same setting of something that contains the owner.
    public func of<Whole>(
        _ part: WritableKeyPath<Whole, Owner> & Sendable
    ) -> NamedSetting<Whole> {
        let (read, change, values) = (read, change, values)
        var lifted: (@Sendable (inout Whole, Int64) -> Void)?
        if let change { lifted = { change(&$0[keyPath: part], $1) } }
        return NamedSetting<Whole>(
            name, { values($0[keyPath: part]) }, get: { read($0[keyPath: part]) }, set: lifted)
    }
}

public enum SettingFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case readOnly
    case expected(ClosedRange<Int64>)

    public var description: String {
        switch self {
        case .readOnly: "it can only be read"
        case .expected(0...1): "expected 0 or 1"
        case .expected(let range):
            "expected a number from \(range.lowerBound) to \(range.upperBound)"
        }
    }
}

extension NamedSetting {
    public init(
        _ name: String, _ path: WritableKeyPath<Owner, Bool> & Sendable
    ) {
        self.init(
            name, { _ in 0...1 }, get: { $0[keyPath: path] ? 1 : 0 },
            set: { $0[keyPath: path] = $1 == 1 })
    }

    public init<Value: FixedWidthInteger & Sendable>(
        _ name: String, _ path: WritableKeyPath<Owner, Value> & Sendable,
        _ range: ClosedRange<Int64>
    ) {
        self.init(
            name, { _ in range }, get: { Int64($0[keyPath: path]) },
            set: { $0[keyPath: path] = Value($1) })
    }
}

extension Int64 {
    /// A number as the kernel reads it (`strtoul_lenient` in kernel/sysctl.c): space before it, a minus
    /// sign, decimal, octal after 0, hexadecimal after 0x, and nothing but space behind it.
    init?(setting text: String) {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\n" }
        var digits = text.drop(while: isSpace)
        while let last = digits.last, isSpace(last) { digits.removeLast() }
        let isNegative = digits.first == "-"
        if isNegative { digits.removeFirst() }
        var radix = 10
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            radix = 16
            digits.removeFirst(2)
        } else if digits.count > 1, digits.first == "0" {
            radix = 8
        }
        // The initialiser below would take another sign.
        guard let first = digits.first, first.isHexDigit,
            let magnitude = Int64(digits, radix: radix)
        else { return nil }
        self = isNegative ? -magnitude : magnitude
    }
}
