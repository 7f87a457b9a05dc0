// `sluice sysctl`: the settings of a running daemon, read and written as sysctl(8) of procps 4.0.2 does,
// with its words and exit statuses. A second line says what was expected where the first does not.

import Conntrack
import Dataplane

/// What a call asks for, carried to the daemon as it stands.
public struct SysctlRequest: Codable, Hashable, Sendable {
    /// `-a`: all of them.
    public var all = false
    /// `-w`: every word is to be an assignment.
    public var write = false
    /// `-q`: nothing is said of what was set.
    public var quiet = false
    /// `-n`: values only.
    public var valuesOnly = false
    /// `-N`: names only.
    public var namesOnly = false
    /// `-b`: values only, without a newline.
    public var binary = false
    /// `-e`: names that nobody knows are passed over.
    public var ignoresUnknown = false
    /// `-r`: only names in which the expression is found.
    public var pattern: String?
    /// `NAME` or `NAME=VALUE`; a name may stand for all that begin with it and a dot.
    public var words: [String] = []

    public init() {}
}

extension SysctlRequest {
    /// Carries the request out on `settings`.
    public func run(on settings: inout NodeSettings) -> CommandOutput {
        var expression: Regex<AnyRegexOutput>?
        if let pattern {
            guard let compiled = try? Regex(pattern) else {
                return .refused("-r \(pattern): expected a regular expression")
            }
            expression = compiled
        }
        var output = CommandOutput()
        if all {
            for setting in NodeSettings.named where Self.matches(setting.name, expression) {
                output.output += line(setting.name, setting.text(of: settings))
            }
            return output
        }
        guard !words.isEmpty else {
            output.fail("no variables specified\nTry `sysctl --help' for more information.")
            return output
        }
        for word in words {
            if let index = word.firstIndex(of: "=") {
                assign(
                    word[..<index], String(word[word.index(after: index)...]), &settings, &output)
            } else if write {
                output.fail("command line(0): invalid syntax, continuing...", "expected NAME=VALUE")
            } else {
                read(Self.name(word), settings, expression, &output)
            }
        }
        return output
    }

    /// Slashes may stand for dots, and space around a name means nothing.
    private static func name(_ word: some StringProtocol) -> String {
        let trimmed = word.drop { $0 == " " }
        return String(trimmed.split(separator: " ").first ?? "").replacing("/", with: ".")
    }

    private static func matches(_ name: String, _ pattern: Regex<AnyRegexOutput>?) -> Bool {
        pattern.map { name.contains($0) } ?? true
    }

    private func line(_ name: String, _ value: String) -> String {
        if namesOnly { return "\(name)\n" }
        if binary { return value }
        return valuesOnly ? "\(value)\n" : "\(name) = \(value)\n"
    }

    private func read(
        _ name: String, _ settings: NodeSettings, _ pattern: Regex<AnyRegexOutput>?,
        _ output: inout CommandOutput
    ) {
        let found = NodeSettings.named.filter { $0.name == name || $0.name.hasPrefix(name + ".") }
        guard !found.isEmpty else { return unknown(name, &output) }
        for setting in found where Self.matches(setting.name, pattern) {
            output.output += line(setting.name, setting.text(of: settings))
        }
    }

    private func assign(
        _ left: some StringProtocol, _ value: String, _ settings: inout NodeSettings,
        _ output: inout CommandOutput
    ) {
        let name = Self.name(left)
        guard let setting = NodeSettings.named(name) else { return unknown(name, &output) }
        do throws(SettingFailure) {
            try setting.write(value, to: &settings)
        } catch {
            return output.fail("setting key \"\(name)\": Invalid argument", error.description)
        }
        // What was typed, not what it came to.
        let typed = String(value.drop { $0 == " " })
        if !quiet { output.output += line(name, typed) }
    }

    private func unknown(_ name: String, _ output: inout CommandOutput) {
        guard !ignoresUnknown else { return }
        let path = name.replacing(".", with: "/")
        output.fail(
            "cannot stat /proc/sys/\(path): No such file or directory",
            "'sluice sysctl -a' lists the settings that Sluice has")
    }
}

extension CommandOutput {
    fileprivate mutating func fail(_ sentence: String, _ help: String? = nil) {
        error += "sysctl: \(sentence)\n"
        if let help { error += "sluice: \(help)\n" }
        status = 1
    }
}
