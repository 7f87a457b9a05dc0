// Many TCP connections begun and given up at once: each sends one SYN and nothing more. What a full
// connection table is tried with.

import Glibc

public enum ConnectionAttempts {
    /// Begins `count` connections to ports from `firstPort` on, a thousand of them in turn; returns
    /// how many could be begun.
    public static func make(count: Int, to address: String, firstPort: UInt16) throws(LabError)
        -> Int
    {
        guard var target = Socket.address(address, port: firstPort) else {
            throw LabError("\"\(address)\" is not an IPv4 address")
        }
        var begun = 0
        for number in 0..<count {
            target.sin_port = (firstPort &+ UInt16(number % 1000)).bigEndian
            if try Socket.beginConnection(to: target) { begun += 1 }
        }
        return begun
    }
}
