// The targets that change a packet or what goes with it and let the walk go on, as plain values.

public enum MangleTarget: Hashable, Sendable {
    case ttl(TTLTarget)
    case tos(TOSTarget)
    /// `DSCP`: the upper six bits of the TOS field.
    case dscp(UInt8)
    /// `CHECKSUM --checksum-fill`: a checksum that was left to the device is computed now.
    case checksumFill
    /// `CLASSIFY`: the class (`MAJOR:MINOR` as 16 bits each) that queueing disciplines read. What leaves
    /// Sluice through a socket carries none, so that nothing comes of it.
    case classify(UInt32)
    case tcpmss(TCPMSSTarget)
}

/// `TTL`.
public enum TTLTarget: Hashable, Sendable {
    case set(UInt8)
    /// Not below 0.
    case decrement(UInt8)
    /// Not above 255.
    case increment(UInt8)
}

/// `TOS`: TOS = (TOS & ~mask) ^ value, to which every option reduces.
public struct TOSTarget: Hashable, Sendable {
    public var value: UInt8
    public var mask: UInt8
    public init(value: UInt8, mask: UInt8) {
        self.value = value
        self.mask = mask
    }
}

/// `TCPMSS`: the largest segment that a connection's ends announce, never raised.
public enum TCPMSSTarget: Hashable, Sendable {
    case set(UInt16)
    /// What fits through the routes to both ends.
    case clampToPathMTU
}
