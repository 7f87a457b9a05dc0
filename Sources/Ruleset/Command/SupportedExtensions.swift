// The names of what may stand behind `-m` and `-j`, for those who make rules instead of reading them.

public enum SupportedExtensions {
    /// Every name that `-m` takes, sorted.
    public static var matches: [String] { ExtensionTable.matches.map { $0.name }.sorted() }
    /// Every name that `-j` takes, sorted, without verdicts and chains.
    public static var targets: [String] { ExtensionTable.targets.map { $0.name }.sorted() }
}
