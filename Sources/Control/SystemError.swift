// A system call that failed: errno, wrapped once, with what was attempted and on what.

import Glibc

public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was attempted, as a sentence's object: "open", "bind the control socket".
    public var operation: String
    /// The file, interface or name it was attempted on.
    public var subject: String?
    public var number: Int32

    public init(_ operation: String, _ subject: String? = nil, number: Int32) {
        self.operation = operation
        self.subject = subject
        self.number = number
    }

    public static func current(_ operation: String, _ subject: String? = nil) -> SystemError {
        SystemError(operation, subject, number: errno)
    }

    public var reason: String { SystemCalls.text(of: number) }

    public var description: String {
        let place = subject.map { " \($0)" } ?? ""
        return "cannot \(operation)\(place): \(reason)"
    }
}

/// Turns the `-errno` convention of `CLinux` into a value or an error.
@discardableResult
func check(_ result: Int32, _ operation: String, _ subject: String? = nil)
    throws(SystemError) -> Int32
{
    guard result >= 0 else { throw SystemError(operation, subject, number: -result) }
    return result
}
