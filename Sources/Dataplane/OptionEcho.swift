// The options with which an ICMP error answers a packet that had some (ip_options_echo and ip_options_build in
// net/ipv4/ip_options.c): a recorded route and a timestamp go on in the answer, a source route is gone back,
// everything else stays behind.

import Hooks
import Routing
import Wire

/// What the answer's options need beside the packet answered.
@frozen
public struct OptionEcho: Sendable {
    /// As they were read from the packet answered.
    public var options: IPOptions
    /// Milliseconds since midnight, universal time.
    public var time: UInt32
    /// Whether an address of a timestamp's list is the node's, so that it is stamped.
    public var isNextStampOurs: Bool

    public init(options: IPOptions, time: UInt32, isNextStampOurs: Bool) {
        self.options = options
        self.time = time
        self.isNextStampOurs = isNextStampOurs
    }

    public static var none: Self {
        Self(options: IPOptions(), time: 0, isNextStampOurs: false)
    }
}

extension OptionEcho {
    /// The first stop on the way back; `nil` without a source route to go back.
    static func firstStop(
        _ options: IPOptions, _ view: PacketView, in bytes: RawSpan
    ) -> IPv4Address? {
        guard options.sourceRoute != 0 else { return nil }
        let route = view.networkOffset + Int(options.sourceRoute)
        let last = lastStop(route, bytes)
        return last > 3 && stops(route, last, view, bytes) > 0
            ? IPv4Address(rawValue: bytes.u32(route + last - 1)) : nil
    }

    /// The address of the timestamp's list that the answer would stamp next.
    static func nextStamp(
        _ options: IPOptions, _ view: PacketView, in bytes: RawSpan
    ) -> IPv4Address? {
        guard options.timestamp != 0 else { return nil }
        let option = view.networkOffset + Int(options.timestamp)
        let (length, pointer) = (Int(bytes.u8(option + 1)), Int(bytes.u8(option + 2)))
        guard bytes.u8(option + 3) & 15 == 3, pointer + 7 <= length else { return nil }
        return IPv4Address(rawValue: bytes.u32(option + pointer - 1))
    }

    /// Where the last stop that was passed stands in the option, counted from 1; 3 or less for none.
    private static func lastStop(_ route: Int, _ bytes: RawSpan) -> Int {
        let length = Int(bytes.u8(route + 1))
        let pointer = Int(bytes.u8(route + 2))
        return (pointer > length ? length + 1 : pointer) - 4
    }

    /// How many stops behind the first one the way back has, the sender included.
    private static func stops(
        _ route: Int, _ last: Int, _ view: PacketView, _ bytes: RawSpan
    ) -> Int {
        guard last > 3 else { return 0 }
        let passed = (last - 4) / 4
        let first = last - 4 * passed
        // RFC 1812, 5.3.13.4: a route that begins with the sender itself names it twice.
        let startsAtSender = bytes.u32(route + first - 1) == view.source.rawValue
        return passed + 1 - (startsAtSender ? 1 : 0)
    }

    /// Writes the answer's options at `start`, padded to whole words.
    ///
    /// - Parameter source: the answer's own address.
    /// - Returns: their length; `nil` where the packet's leave no room for what they ask, and nothing may be
    ///   answered.
    func write(
        about view: PacketView, in bytes: RawSpan, source: IPv4Address,
        into out: inout MutableRawSpan, at start: Int
    ) -> Int? {
        var end = start
        if options.recordRoute != 0 {
            guard let length = recordRoute(view, bytes, source, &out, end) else { return nil }
            end += length
        }
        if options.timestamp != 0 {
            guard let length = timestamp(view, bytes, source, &out, end) else { return nil }
            end += length
        }
        if options.sourceRoute != 0 { end += sourceRoute(view, bytes, &out, end) }
        if options.securityLabel != 0 {
            let option = view.networkOffset + Int(options.securityLabel)
            let length = Int(bytes.u8(option + 1))
            out.copy(bytes, option..<option + length, to: end)
            end += length
        }
        while (end - start) % 4 != 0 {
            out.set(UInt8(0), at: end)
            end += 1
        }
        return end - start
    }

    private func recordRoute(
        _ view: PacketView, _ bytes: RawSpan, _ source: IPv4Address,
        _ out: inout MutableRawSpan, _ place: Int
    ) -> Int? {
        let option = view.networkOffset + Int(options.recordRoute)
        let (length, pointer) = (Int(bytes.u8(option + 1)), Int(bytes.u8(option + 2)))
        out.copy(bytes, option..<option + length, to: place)
        guard options.recordsAddress, pointer <= length else { return length }
        guard pointer + 3 <= length else { return nil }
        out.set(source.rawValue, at: place + pointer - 1)
        out.set(UInt8(pointer + 4), at: place + 2)
        return length
    }

    private func timestamp(
        _ view: PacketView, _ bytes: RawSpan, _ source: IPv4Address,
        _ out: inout MutableRawSpan, _ place: Int
    ) -> Int? {
        let option = view.networkOffset + Int(options.timestamp)
        let length = Int(bytes.u8(option + 1))
        var pointer = Int(bytes.u8(option + 2))
        out.copy(bytes, option..<option + length, to: place)
        guard pointer <= length else { return length }
        if options.stampsAddress {
            guard pointer + 3 <= length else { return nil }
            pointer += 4
        }
        var stamps = false
        if options.stampsTime {
            guard pointer + 3 <= length else { return nil }
            if bytes.u8(option + 3) & 15 != 3 {
                stamps = true
                pointer += 4
            } else if pointer + 7 <= length, isNextStampOurs {
                stamps = true
                pointer += 8
            }
        }
        out.set(UInt8(truncatingIfNeeded: pointer), at: place + 2)
        if options.stampsAddress { out.set(source.rawValue, at: place + pointer - 9) }
        if stamps { out.set(time, at: place + pointer - 5) }
        return length
    }

    /// The stops in reverse, but the one the answer goes to first; the sender is the last.
    private func sourceRoute(
        _ view: PacketView, _ bytes: RawSpan, _ out: inout MutableRawSpan, _ place: Int
    ) -> Int {
        let option = view.networkOffset + Int(options.sourceRoute)
        let last = Self.lastStop(option, bytes)
        let count = Self.stops(option, last, view, bytes)
        guard count > 0 else { return 0 }
        let length = 3 + 4 * count
        out.set(bytes.u8(option), at: place)
        out.set(UInt8(length), at: place + 1)
        out.set(UInt8(4), at: place + 2)
        for stop in 1..<max(count, 1) {
            out.set(bytes.u32(option + last - 1 - 4 * stop), at: place + 3 + 4 * (stop - 1))
        }
        out.set(view.source.rawValue, at: place + length - 4)
        return length
    }
}
