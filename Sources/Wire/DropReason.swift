// Every reason for which Sluice discards a packet. A drop moves exactly one of these counters, and
// the sentence is what a person reads in a trace and in `sluice status`.

/// Why a packet went no further.
public enum DropReason: UInt8, CaseIterable, Sendable {
    // Parsing (net/ipv4/ip_input.c, ip_rcv_core)
    case frameTooShort
    case notIPv4
    case badVersion
    case badHeaderLength
    case badTotalLength
    case badHeaderChecksum
    case badOption
    // Rules
    case rule
    case policy
    case rejected
    case malformedTransport
    case noSegmentSize
    // Connection tracking
    case tableFull
    case confirmClash
    case noFreePort
    case noMasqueradeAddress
    case egressChanged
    case connectionDying
    case untranslatable
    // Virtual services
    case noServer
    case serverRemoved
    // Routing
    case noRoute
    case blackholeRoute
    case prohibitedRoute
    case martianSource
    case martianDestination
    case reversePath
    case sourceRoute
    case timeToLive
    case needsFragmentation
    case notForUs
    // Fragments
    case badFragment
    case fragmentTimeout
    case fragmentMemory
    case fragmentDistance
    // Neighbours and ports
    case neighbourUnresolved
    case neighbourQueueFull
    case noPort
    case sendFailed
    case receiveOverrun
    case hostPortDown
}

extension DropReason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .frameTooShort: "the frame is too short for an Ethernet and an IPv4 header"
        case .notIPv4: "the frame is not IPv4"
        case .badVersion: "the IP version is not 4"
        case .badHeaderLength: "the IP header is shorter than 20 bytes or longer than the packet"
        case .badTotalLength: "the IP total length exceeds the frame or is less than the header"
        case .badHeaderChecksum: "the IP header checksum is wrong"
        case .badOption: "an IP option is malformed"
        case .rule: "a rule dropped it"
        case .policy: "a chain's policy dropped it"
        case .rejected: "a REJECT rule answered it"
        case .malformedTransport: "a match found the transport header malformed"
        case .noSegmentSize: "the path's MTU leaves no room for a TCP segment"
        case .tableFull: "the connection table is full"
        case .confirmClash: "another connection took its tuple before it was confirmed"
        case .noFreePort: "no free port for the translation"
        case .noMasqueradeAddress: "the outgoing interface has no address to masquerade with"
        case .egressChanged: "the outgoing interface of a masqueraded connection changed"
        case .connectionDying: "its connection is being deleted"
        case .untranslatable: "the packet that the ICMP error quotes cannot be translated"
        case .noServer: "no server of its virtual service takes connections"
        case .serverRemoved: "the server of its connection was removed from the virtual service"
        case .noRoute: "no route to the destination"
        case .blackholeRoute: "the route is a blackhole"
        case .prohibitedRoute: "the route prohibits it"
        case .martianSource: "the source address is impossible"
        case .martianDestination: "the destination address is impossible"
        case .reversePath: "the reverse path filter rejects the source address"
        case .sourceRoute: "its source route may not or cannot be followed"
        case .timeToLive: "the time to live is used up"
        case .needsFragmentation: "it is larger than the MTU and must not be fragmented"
        case .notForUs: "it is for another host, and the node does not forward it"
        case .badFragment: "the fragment overlaps another or has an impossible length"
        case .fragmentTimeout: "the other fragments did not arrive in time"
        case .fragmentMemory: "too many fragments are waiting"
        case .fragmentDistance: "too many other fragments of the sender's came between"
        case .neighbourUnresolved: "the next hop did not answer ARP"
        case .neighbourQueueFull: "too many packets wait for the next hop's MAC address"
        case .noPort: "the outgoing interface is not one of Sluice's"
        case .sendFailed: "the outgoing port refused it"
        case .receiveOverrun: "the receive ring was full"
        case .hostPortDown: "the host port is not up"
        }
    }
}
