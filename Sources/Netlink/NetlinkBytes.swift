// Reading and writing netlink messages (RFC 3549): native byte order, everything padded to 4 bytes.
// Every read is checked: a message that promises more than it holds yields `nil`, never a trap.

import CLinux
import Wire

/// A part of a received datagram.
package struct NetlinkBytes {
    private let storage: ContiguousArray<UInt8>
    private let range: Range<Int>

    init(_ storage: ContiguousArray<UInt8>) {
        self.init(storage, storage.indices)
    }

    private init(_ storage: ContiguousArray<UInt8>, _ range: Range<Int>) {
        self.storage = storage
        self.range = range
    }

    package var count: Int { range.count }

    /// `nil` where the part reaches past the end.
    package func part(_ offset: Int, count: Int) -> NetlinkBytes? {
        guard offset >= 0, count >= 0, offset <= range.count, count <= range.count - offset else {
            return nil
        }
        let start = range.lowerBound + offset
        return NetlinkBytes(storage, start..<start + count)
    }

    package func rest(from offset: Int) -> NetlinkBytes? {
        part(offset, count: max(range.count - offset, 0))
    }

    /// Zero where there is nothing: a shorter structure comes from an older kernel.
    package func u8(_ offset: Int) -> UInt8 {
        offset < range.count ? storage[range.lowerBound + offset] : 0
    }
    package func u16(_ offset: Int) -> UInt16 { integer(offset) ?? 0 }
    package func u32(_ offset: Int) -> UInt32 { integer(offset) ?? 0 }
    package func u64(_ offset: Int) -> UInt64 { integer(offset) ?? 0 }

    private func integer<Value: FixedWidthInteger & BitwiseCopyable>(_ offset: Int) -> Value? {
        let size = MemoryLayout<Value>.size
        guard offset >= 0, offset + size <= range.count else { return nil }
        // The range lies within the storage by construction; any bits are an integer.
        return unsafe storage.span.bytes.unsafeLoadUnaligned(
            fromByteOffset: range.lowerBound + offset, as: Value.self)
    }

    /// In network byte order, as addresses are.
    package func address(_ offset: Int = 0) -> IPv4Address? {
        guard offset + 4 <= range.count else { return nil }
        return IPv4Address(u8(offset), u8(offset + 1), u8(offset + 2), u8(offset + 3))
    }

    func mac() -> MACAddress? {
        guard range.count == 6 else { return nil }
        return MACAddress(
            rawValue: (0..<6).reduce(0) { $0 << 8 | UInt64(u8($1)) })
    }

    /// Up to the terminating zero.
    package func text() -> String {
        String(decoding: storage[range].prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// The attributes of a message or of a nested attribute. Unknown ones are kept and not looked at.
package struct NetlinkAttributes {
    package private(set) var entries: [(type: Int, value: NetlinkBytes)] = []

    /// Stops at the first attribute whose length is impossible.
    package init(_ bytes: NetlinkBytes?) {
        guard let bytes else { return }
        var offset = 0
        while offset + 4 <= bytes.count {
            let length = Int(bytes.u16(offset))
            guard length >= 4, let value = bytes.part(offset + 4, count: length - 4) else { return }
            // The two top bits are NLA_F_NESTED and NLA_F_NET_BYTEORDER.
            entries.append((Int(bytes.u16(offset + 2) & 0x3FFF), value))
            offset += (length + 3) & ~3
        }
    }

    /// The last one of a type counts, as in the kernel's own parser.
    package subscript(type: some BinaryInteger) -> NetlinkBytes? {
        entries.last { $0.type == Int(type) }?.value
    }

    package func u32(_ type: some BinaryInteger) -> UInt32? {
        self[type].flatMap { $0.count >= 4 ? $0.u32(0) : nil }
    }
}

/// One received message.
package struct NetlinkMessage {
    package let type: Int
    package let flags: Int
    package let sequence: UInt32
    package let body: NetlinkBytes

    /// The messages of one datagram; a damaged one ends the list.
    static func all(in datagram: NetlinkBytes) -> [NetlinkMessage] {
        var messages: [NetlinkMessage] = []
        var offset = 0
        while offset + 16 <= datagram.count {
            let length = Int(datagram.u32(offset))
            guard length >= 16, let body = datagram.part(offset + 16, count: length - 16) else {
                break
            }
            messages.append(
                NetlinkMessage(
                    type: Int(datagram.u16(offset + 4)), flags: Int(datagram.u16(offset + 6)),
                    sequence: datagram.u32(offset + 8), body: body))
            offset += (length + 3) & ~3
        }
        return messages
    }

    /// The attributes after a fixed structure of `size` bytes.
    package func attributes(after size: Int) -> NetlinkAttributes {
        NetlinkAttributes(body.rest(from: (size + 3) & ~3))
    }
}

/// A request under construction.
package struct NetlinkRequest {
    package let type: Int
    package let flags: Int
    private(set) var payload: [UInt8] = []

    /// - Parameter header: the fixed structure, already in native byte order.
    package init(type: some BinaryInteger, flags: Int, header: [UInt8]) {
        self.type = Int(type)
        self.flags = flags
        payload = header
        pad()
    }

    package mutating func append(_ type: some BinaryInteger, _ value: [UInt8]) {
        payload += native(UInt16(4 + value.count)) + native(UInt16(type)) + value
        pad()
    }
    package mutating func append(_ type: some BinaryInteger, _ value: UInt32) {
        append(type, native(value))
    }
    package mutating func append(_ type: some BinaryInteger, _ value: IPv4Address) {
        append(type, native(value.rawValue.bigEndian))
    }
    package mutating func append(_ type: some BinaryInteger, _ name: InterfaceName) {
        append(type, Array(name.description.utf8) + [0])
    }

    func encoded(sequence: UInt32) -> [UInt8] {
        native(UInt32(16 + payload.count)) + native(UInt16(type)) + native(UInt16(flags))
            + native(sequence) + native(UInt32(0)) + payload
    }

    private mutating func pad() {
        while payload.count % 4 != 0 { payload.append(0) }
    }
}

/// The bytes of an integer as the machine stores them.
func native<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
}
