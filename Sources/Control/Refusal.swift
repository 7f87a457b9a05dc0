/// Why a command of Sluice's own is not carried out: one sentence with place and expectation, and what
/// a person may want to see besides.
public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    public var sentence: String
    /// Listed behind the sentence; empty or ends with a newline.
    public var details: String

    public init(_ sentence: String, details: String = "") {
        self.sentence = sentence
        self.details = details
    }

    public var description: String { sentence }

    /// As it stands on standard error.
    public var text: String { "sluice: \(sentence)\n\(details)" }
}
