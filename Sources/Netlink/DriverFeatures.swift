// What drivers do with XDP, as the kernel's `netdev` family of generic netlink tells it (Linux 6.3,
// Documentation/netlink/specs/netdev.yaml).

import CLinux
import Wire

/// What an interface's driver does with XDP (NETDEV_XDP_ACT_*).
public struct XDPFeatures: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// Runs programs, which may pass, drop and send back.
    public static let basic = Self(rawValue: 1)
    /// Programs may redirect.
    public static let redirect = Self(rawValue: 2)
    /// Sends frames that programs elsewhere redirect to it. A veth does while its other end takes them: with
    /// GRO on, or a program of its own.
    public static let transmit = Self(rawValue: 4)
}

/// Asks, and listens for changes, in the namespace of the thread that made it. Not shared between threads.
public final class DriverFeatures {
    private let requests: NetlinkSocket
    private let events: NetlinkSocket
    private let family: Int

    /// struct genlmsghdr
    private static let headerSize = 4
    // linux/netdev.h, which Debian 12 has not.
    private static let deviceGet: UInt8 = 1
    private static let deviceIndex = 1
    private static let deviceXDPFeatures = 3

    public init() throws(NetlinkError) {
        requests = try NetlinkSocket(.generic)
        var question = Self.request(GENL_ID_CTRL, UInt8(CTRL_CMD_GETFAMILY))
        question.append(CTRL_ATTR_FAMILY_NAME, Array("netdev".utf8) + [0])
        let answer = try requests.ask(question, "find what tells of drivers (Linux 6.3)")
        let attributes = answer?.attributes(after: Self.headerSize)
        family = Int(attributes?[CTRL_ATTR_FAMILY_ID]?.u16(0) ?? 0)
        let groups = NetlinkAttributes(attributes?[CTRL_ATTR_MCAST_GROUPS]).entries
            .map { NetlinkAttributes($0.value) }
        let changes = groups.first { $0[CTRL_ATTR_MCAST_GRP_NAME]?.text() == "mgmt" }
        guard let group = changes?.u32(CTRL_ATTR_MCAST_GRP_ID) else {
            throw NetlinkError(operation: "listen to what changes about drivers", code: ENOENT)
        }
        events = try NetlinkSocket(.generic, groups: [Int(group)])
    }

    /// Readable when something has changed.
    public var descriptor: Int32 { events.descriptor }

    /// Whether anything has changed since the last call; does not block.
    public func haveChanged() throws(NetlinkError) -> Bool {
        var changed = false
        do {
            while try events.receive(operation: "read what changed about drivers") != nil {
                changed = true
            }
        } catch  where error.code == ENOBUFS {
            return true
        }
        return changed
    }

    /// Nothing for an interface that is not there.
    public func features(of interface: InterfaceIndex) throws(NetlinkError) -> XDPFeatures {
        var question = Self.request(family, Self.deviceGet)
        question.append(Self.deviceIndex, interface.rawValue)
        do {
            let answer = try requests.ask(question, "ask what a driver does with XDP")
            let known = answer?.attributes(after: Self.headerSize)[Self.deviceXDPFeatures]
            return XDPFeatures(rawValue: known?.u64(0) ?? 0)
        } catch  where error.code == ENODEV {
            return []
        }
    }

    private static func request(_ type: some BinaryInteger, _ command: UInt8) -> NetlinkRequest {
        NetlinkRequest(type: type, flags: 0, header: [command, 1, 0, 0])
    }
}
