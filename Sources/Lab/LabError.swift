/// Why something in a lab could not be done: one sentence for a person.
public struct LabError: Error, CustomStringConvertible, Equatable {
    public var description: String
    public init(_ description: String) { self.description = description }
}
