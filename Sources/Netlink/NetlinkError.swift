// What can go wrong between Sluice and the kernel's routing socket.

import Glibc

/// A refused or failed request, in words.
public struct NetlinkError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was asked for: "add the rule with preference 100".
    public let operation: String
    /// The positive errno; 0 where the kernel's answer itself was at fault.
    public let code: Int32
    /// The kernel's own explanation (NLMSGERR_ATTR_MSG), or Sluice's.
    public let detail: String?

    public init(operation: String, code: Int32, detail: String? = nil) {
        self.operation = operation
        self.code = code
        self.detail = detail
    }

    public var description: String {
        let reason = code == 0 ? nil : unsafe String(cString: strerror(code))
        let parts = [reason, detail].compactMap { $0 }.joined(separator: ": ")
        return "cannot \(operation): \(parts)"
    }
}
