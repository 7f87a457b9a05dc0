// `-m comment`: matches every packet; its text is kept and printed.

struct CommentParser: MatchParser {
    static let name = "comment"
    static let options = [OptionSpec("comment", 1, mandatory: true)]
    /// XT_MAX_COMMENT_LEN less the closing zero.
    private static let longest = 255

    private var text = ""

    mutating func take(_ use: OptionUse, _ context: inout RuleContext) throws(CommandError) {
        guard use.value.utf8.count <= Self.longest else {
            throw .parameter(
                "Argument must have a maximum length of \(Self.longest + 1) characters\n",
                word: use.value, expected: "\(Self.longest) bytes at most")
        }
        text = use.value
    }

    func match() -> Match { .comment(text) }
}

struct CommentText: ExtensionText {
    var text: String
    var extensionName: String { "comment" }
    var saved: String { " --comment " + text.quotedForSave }
    func listed(_ names: ListingNames) -> String { " /* \(text) */" }
}
