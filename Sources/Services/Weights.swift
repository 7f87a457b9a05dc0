// The annotation `sluice.dev/weights`, which kube-proxy does not know: how many shares of the new
// connections each endpoint gets.

import Wire

/// `10.0.0.2=3,10.0.0.3=1`: addresses of endpoints and their shares, 0 to 65535. An endpoint that is not
/// named has one share; one with 0 gets no new connections and keeps those it has.
public struct Weights: Hashable, Sendable {
    public static let annotation = "sluice.dev/weights"

    public private(set) var shares: [IPv4Address: UInt16] = [:]

    public init() {}

    /// Why a text is none.
    enum Failure: Error, Hashable, CustomStringConvertible {
        case form(String)
        case twice(String)

        var description: String {
            switch self {
            case .form(let word):
                "'\(word)': expected ADDRESS=SHARES with 0 to 65535 shares, separated by commas"
            case .twice(let address): "\(address) is named twice"
            }
        }
    }

    init(_ text: String) throws(Failure) {
        for entry in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = entry.split(separator: "=", omittingEmptySubsequences: false)
                .map { $0.trimmingBlanks }
            guard sides.count == 2, let address = IPv4Address(sides[0]),
                sides[1].utf8.allSatisfy({ (48...57).contains($0) }), let share = UInt16(sides[1])
            else { throw .form(String(entry.trimmingBlanks.prefix(40))) }
            guard shares.updateValue(share, forKey: address) == nil else {
                throw .twice("\(address)")
            }
        }
    }

    public var isEmpty: Bool { shares.isEmpty }
}

extension StringProtocol {
    /// Without blanks at both ends.
    var trimmingBlanks: String {
        let front = drop { $0 == " " || $0 == "\t" }
        let end = front.lastIndex { $0 != " " && $0 != "\t" }
        return end.map { String(front[...$0]) } ?? ""
    }
}
