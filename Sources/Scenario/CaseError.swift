// What is wrong with a case, in a sentence that a tired person can act on: where, what was found, what was
// expected. Nothing is run of a case that has a fault.

/// A fault in a case, a topology or a file of rules.
public struct CaseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file as it was named; `nil` for a case that did not come from one.
    public var file: String?
    /// From 1. Without a file, they count within the field's own text.
    public var line: Int?
    public var column: Int?
    /// The path of the field, such as `topology.links.eth0.mtu`; empty for the whole.
    public var field: String
    /// What was found and what was expected.
    public var message: String

    public init(
        file: String? = nil, line: Int? = nil, column: Int? = nil, field: String = "",
        _ message: String
    ) {
        self.file = file
        self.line = line
        self.column = column
        self.field = field
        self.message = message
    }

    public var description: String {
        var place: [String] = []
        if let file { place.append(file) }
        if let line { place.append("line \(line)") }
        if let column { place.append("column \(column)") }
        let parts = [place.joined(separator: ", "), field, message]
        return parts.filter { !$0.isEmpty }.joined(separator: ": ")
    }
}
