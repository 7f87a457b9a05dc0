// Links to the binary under the names of the commands it stands in for.

public enum CommandLinks {
    /// Makes the links in `directory` and returns their paths. An existing link to this binary is
    /// left as it is; anything else in its place is refused before any link is made.
    public static func create(in directory: String) throws(Failure) -> [String] {
        guard let binary = SystemCalls.linkTarget("/proc/self/exe") else {
            throw Failure("cannot tell where this binary is: /proc is not mounted")
        }
        do { try SystemCalls.requireDirectory(directory) } catch { throw Failure("\(error)") }
        let links = TakenCommand.allCases.map { "\(directory)/\($0.name)" }
        var missing: [String] = []
        for link in links where try isMissing(link, binary) { missing.append(link) }
        for link in missing {
            do { try SystemCalls.makeLink(at: link, to: binary) } catch {
                throw Failure("\(error)")
            }
        }
        return links
    }

    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var description: String
        init(_ description: String) { self.description = description }
    }

    private static func isMissing(_ link: String, _ binary: String) throws(Failure) -> Bool {
        let target = SystemCalls.linkTarget(link)
        if target == nil, !SystemCalls.exists(link) { return true }
        guard target == binary else {
            throw Failure("\(link) exists and is not a link to \(binary)")
        }
        return false
    }
}
