// The kernel's interfaces, addresses, rules, routes and neighbours as `Routing` values, kept fresh.
//
// Theory of operation. One socket listens to the multicast groups; another reads dumps. A message
// about a link, an address, a rule or a route only marks its kind as stale; when all waiting messages
// have been read, stale kinds are dumped anew and one snapshot is made. So order (which the kernel
// does not send for secondary addresses and equal routes) and silent changes (routes that vanish with
// their interface draw no message) come out right, and a burst costs one dump. Neighbours are many
// and change often: their messages are applied one by one, in order. ENOBUFS means that messages were
// lost: everything is dumped, and neighbours not seen again are reported as removed.
//
// Never changes anything in the kernel; `NetlinkRequests` does.

import CLinux
import Routing
import Wire

/// What a wakeup brought.
public struct MirrorChange: Sendable {
    /// A new picture, if it differs from the last one.
    public var routing: RoutingSnapshot?
    /// In the order in which they happened.
    public var neighbours: [NeighbourUpdate] = []
    /// Each address that went away, even if it came back at once: masqueraded connections die of it.
    public var addressesRemoved: [AddressOnInterface] = []
    /// Interfaces that were deleted, left the namespace, or went down.
    public var interfacesGone: [InterfaceIndex] = []
    public var interfacesDown: [InterfaceIndex] = []
    /// Messages were lost and everything was read anew.
    public var wasResynchronised = false

    public init() {}
}

/// An address and the interface that had it.
public struct AddressOnInterface: Hashable, Sendable {
    public var address: IPv4Address
    public var interface: InterfaceIndex

    public init(address: IPv4Address, interface: InterfaceIndex) {
        self.address = address
        self.interface = interface
    }
}

/// Follows one network namespace. Not shared between threads.
public final class NetlinkMirror {
    /// The kinds of data that are dumped as a whole.
    struct Kinds: OptionSet {
        let rawValue: Int
        static let links = Kinds(rawValue: 1)
        static let addresses = Kinds(rawValue: 2)
        static let rules = Kinds(rawValue: 4)
        static let routes = Kinds(rawValue: 8)
        static let all: Kinds = [.links, .addresses, .rules, .routes]
    }

    private let events: NetlinkSocket
    private let requests: NetlinkSocket
    private let settings: GlobalSettings

    private var global = GlobalSettings.Values()
    private var links: [LinkReport] = []
    private var addresses: [InterfaceAddress] = []
    private var rules: [PolicyRule] = []
    private var routes: [Route] = []
    /// What the receiver of updates knows, for finding out what a resynchronisation removed.
    private var neighbours: [NeighbourKey: NeighbourUpdate] = [:]

    /// The reverse path filters that snapshots show for some interfaces instead of the kernel's: what
    /// the person had set, where the kernel's own had to be loosened. Counts from the next reading.
    public var reversePathFilters: [InterfaceIndex: UInt8] = [:]

    /// The picture after the last `process`.
    public private(set) var snapshot = RoutingSnapshot.empty

    private struct NeighbourKey: Hashable {
        let interface: InterfaceIndex
        let address: IPv4Address
    }

    /// Opens in the calling thread's namespace and reads everything once; the neighbours found are
    /// reported by the first `process`.
    public init() throws(NetlinkError) {
        settings = try GlobalSettings()
        // Listening starts before the dump, so that no change falls between the two.
        events = try NetlinkSocket(
            groups: [
                Int(RTNLGRP_LINK.rawValue), Int(RTNLGRP_IPV4_IFADDR.rawValue),
                Int(RTNLGRP_IPV4_ROUTE.rawValue), Int(RTNLGRP_IPV4_RULE.rawValue),
                Int(RTNLGRP_NEIGH.rawValue), Int(RTNLGRP_IPV4_NETCONF.rawValue),
            ], receiveBuffer: 4 << 20)
        requests = try NetlinkSocket()
        try read(.all)
        rebuild()
        pending = try readNeighbours()
    }

    private var pending: [NeighbourUpdate] = []

    /// Readable when `process` has something to do.
    public var fileDescriptor: Int32 { events.descriptor }

    /// Reads what waits, without blocking.
    public func process() throws(NetlinkError) -> MirrorChange {
        var change = MirrorChange()
        change.neighbours = pending
        pending = []
        var stale: Kinds = []
        var isComplete = false
        while !isComplete {
            do {
                while let messages = try events.receive() {
                    for message in messages { note(message, &stale, &change) }
                }
                isComplete = true
            } catch  where error.code == ENOBUFS {
                change.wasResynchronised = true
            }
        }
        if change.wasResynchronised {
            // What was still queued is older than the dump that follows, so it goes first.
            stale = .all
            change.neighbours += try readNeighbours()
        }
        if !stale.isEmpty { try refresh(stale, &change) }
        return change
    }

    /// Reads the settings again, of which the kernel tells some only: accept_local, route_localnet,
    /// send_redirects, log_martians, src_valid_mark. To be called now and then.
    public func refreshSettings() throws(NetlinkError) -> MirrorChange {
        var change = MirrorChange()
        try refresh(.links, &change)
        return change
    }

    private func refresh(_ stale: Kinds, _ change: inout MirrorChange) throws(NetlinkError) {
        let before = snapshot
        try read(stale)
        guard rebuild() else { return }
        change.routing = snapshot
        Self.compare(before, snapshot, &change)
    }

    private func note(
        _ message: NetlinkMessage, _ stale: inout Kinds, _ change: inout MirrorChange
    ) {
        switch message.type {
        case Int(RTM_NEWLINK), Int(RTM_DELLINK):
            // A link's state decides about its routes, and no message tells of those.
            stale.formUnion([.links, .addresses, .routes])
        case Int(RTM_NEWNETCONF): stale.insert(.links)
        case Int(RTM_NEWADDR): stale.formUnion([.addresses, .routes])
        case Int(RTM_DELADDR):
            stale.formUnion([.addresses, .routes])
            if let gone = Decode.address(message) {
                change.addressesRemoved.append(
                    AddressOnInterface(address: gone.local, interface: gone.interface))
            }
        case Int(RTM_NEWROUTE), Int(RTM_DELROUTE): stale.insert(.routes)
        case Int(RTM_NEWRULE), Int(RTM_DELRULE): stale.insert(.rules)
        case Int(RTM_NEWNEIGH), Int(RTM_DELNEIGH):
            if let update = Decode.neighbour(message) {
                remember(update)
                change.neighbours.append(update)
            }
        default: break
        }
    }

    private func remember(_ update: NeighbourUpdate) {
        let key = NeighbourKey(interface: update.interface, address: update.address)
        neighbours[key] = update.isRemoved ? nil : update
    }

    /// What the two pictures differ in that connections and ports depend on.
    private static func compare(
        _ before: RoutingSnapshot, _ after: RoutingSnapshot, _ change: inout MirrorChange
    ) {
        let kept = Set(
            after.addresses.map { AddressOnInterface(address: $0.local, interface: $0.interface) })
        for old in before.addresses {
            let entry = AddressOnInterface(address: old.local, interface: old.interface)
            if !kept.contains(entry) && !change.addressesRemoved.contains(entry) {
                change.addressesRemoved.append(entry)
            }
        }
        for old in before.interfaces {
            guard let now = after.interface(old.index) else {
                change.interfacesGone.append(old.index)
                continue
            }
            if old.isUp && !now.isUp { change.interfacesDown.append(old.index) }
        }
    }
}

extension NetlinkMirror {
    private func read(_ kinds: Kinds) throws(NetlinkError) {
        global = settings.read()
        if kinds.contains(.links) {
            links = try dump(RTM_GETLINK, headerSize: 16, "list the links", Decode.link)
        }
        if kinds.contains(.addresses) {
            addresses = try dump(
                RTM_GETADDR, headerSize: 8, "list the addresses", Decode.address)
        }
        if kinds.contains(.rules) {
            rules = try dump(RTM_GETRULE, headerSize: 12, "list the policy rules", Decode.rule)
        }
        if kinds.contains(.routes) {
            routes = try dump(RTM_GETROUTE, headerSize: 12, "list the routes", Decode.route)
        }
    }

    private func dump<Value>(
        _ type: some BinaryInteger, headerSize: Int, _ operation: String,
        _ decode: (NetlinkMessage) -> Value?
    ) throws(NetlinkError) -> [Value] {
        var header = [UInt8](repeating: 0, count: headerSize)
        // The family is the first byte of every such header; links have none.
        header[0] = Int(type) == Int(RTM_GETLINK) ? 0 : UInt8(AF_INET)
        let request = NetlinkRequest(type: type, flags: 0, header: header)
        return try requests.dump(request, operation).compactMap(decode)
    }

    /// The neighbours as updates, with removals of those that are no longer there.
    private func readNeighbours() throws(NetlinkError) -> [NeighbourUpdate] {
        let found = try dump(
            RTM_GETNEIGH, headerSize: 12, "list the neighbours", Decode.neighbour)
        let known = neighbours
        neighbours = [:]
        for update in found { remember(update) }
        let lost = known.filter { neighbours[$0.key] == nil }.values.map { old in
            var update = old
            update.isRemoved = true
            update.mac = nil
            return update
        }
        return lost + found
    }

    /// - Returns: whether the picture changed.
    @discardableResult
    private func rebuild() -> Bool {
        let interfaces = links.map { report in
            var interface = report.interface
            interface.settings = InterfaceSettings(own: report.settings, all: global.all)
            if let filter = reversePathFilters[interface.index] {
                interface.settings.reversePathFilter = filter
            }
            return interface
        }
        // Sluice's own rules and routes are how packets come to it, not where they go.
        let next = RoutingSnapshot(
            interfaces: interfaces, addresses: addresses,
            rules: rules.filter { $0.origin != HostRoutes.origin },
            routes: routes.filter { $0.origin != HostRoutes.origin },
            forwardsByDefault: global.forwards)
        if next.isSame(as: snapshot) { return false }
        snapshot = next
        return true
    }
}
