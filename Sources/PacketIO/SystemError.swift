// A failed system call, told once: what was tried, on what, and what the kernel said.

import Glibc

public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done, as a person would say it: "open a packet socket".
    public var operation: String
    /// The interface, file or program that it was done to.
    public var subject: String
    /// errno, positive.
    public var code: Int32

    public init(_ operation: String, on subject: String, code: Int32) {
        self.operation = operation
        self.subject = subject
        self.code = code
    }

    public var description: String {
        "cannot \(operation) (\(subject)): \(unsafe String(cString: strerror(code)))"
    }
}

/// Turns the negative errno of a C function into an error.
@discardableResult
func check(
    _ result: Int32, _ operation: @autoclosure () -> String, on subject: @autoclosure () -> String
) throws(SystemError) -> Int32 {
    guard result >= 0 else { throw SystemError(operation(), on: subject(), code: -result) }
    return result
}
