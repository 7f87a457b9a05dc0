// A TAP device and the buffers that its frames are read into: what TapPort and HostPort have in common.
// The device exists as long as this value; the kernel removes it with the last descriptor.

import CLinux
import Dataplane
import Glibc
import Wire

@safe struct TapDevice: ~Copyable {
    let name: String
    let descriptor: Int32
    let interface: InterfaceIndex

    private let buffers: UnsafeMutableRawPointer
    private var held = 0

    /// Frames per batch. Of a large buffer only the pages that a frame needs are ever touched.
    static let capacity = 128
    private static let bufferSize = 17 * 4096
    /// The virtio header ends where the frame begins, at an address that is a multiple of 16.
    private static let frameOffset = 16
    /// As many frames wait in the device while the worker is busy elsewhere.
    private static let queueLength: Int32 = 4096

    /// The device is down at first: what is to be set up before the first frame has time for it.
    init(name: String) throws(SystemError) {
        let descriptor = try Self.open(name)
        self.name = name
        self.descriptor = descriptor
        interface = InterfaceIndex(rawValue: unsafe sluice_interface_index(name))
        unsafe buffers = .allocate(byteCount: Self.bufferSize * Self.capacity, alignment: 64)
    }

    deinit {
        close(descriptor)
        unsafe buffers.deallocate()
    }

    func bringUp(arp: Bool) throws(SystemError) {
        try check(unsafe sluice_interface_up(name, arp), "bring the device up", on: name)
    }

    private static func open(_ name: String) throws(SystemError) -> Int32 {
        let descriptor = try check(
            unsafe sluice_tap_open(name), "make a TAP device", on: name)
        do throws(SystemError) {
            try check(
                unsafe sluice_interface_set_queue(name, queueLength), "size the queue", on: name)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    enum ReadResult {
        case empty
        case frame(ArrivedFrame)
        case failed(Int32)
    }

    /// Reads one frame; its memory stays valid until `release`.
    mutating func read() -> ReadResult {
        guard held < Self.capacity else { return .empty }
        let frame = unsafe buffers + held &* Self.bufferSize + Self.frameOffset
        let header = unsafe frame - OffloadHeader.byteCount
        var part = unsafe iovec(
            iov_base: header,
            iov_len: Self.bufferSize - Self.frameOffset + OffloadHeader.byteCount)
        let length = unsafe sluice_read_vector(descriptor, &part, 1)
        guard length >= 0 else {
            return length == -Int(EAGAIN) ? .empty : .failed(Int32(-length))
        }
        // The device always writes the header; a frame without an Ethernet header is not possible either.
        guard length > OffloadHeader.byteCount else { return .empty }
        held &+= 1
        return unsafe .frame(
            ArrivedFrame(
                start: frame, byteCount: length - OffloadHeader.byteCount,
                offload: OffloadHeader(at: header)))
    }

    mutating func release() { held = 0 }

    /// The two addresses of an Ethernet header.
    struct Addresses {
        var destination: MACAddress
        var source: MACAddress
        static let byteCount = 12
    }

    /// Writes a frame, with `addresses` in place of its own if given. Returns an errno, or 0.
    func write(_ frame: RawSpan, offload: OffloadHeader, addresses: Addresses? = nil) -> Int32 {
        let replaced = addresses == nil ? 0 : Addresses.byteCount
        guard frame.byteCount > replaced else { return EINVAL }
        let size = OffloadHeader.byteCount + replaced
        return unsafe withUnsafeTemporaryAllocation(byteCount: size, alignment: 16) { header in
            unsafe offload.store(at: header.baseAddress!)
            if let addresses {
                var span = unsafe MutableRawSpan(_unsafeBytes: header)
                span.set(addresses.destination, at: OffloadHeader.byteCount)
                span.set(addresses.source, at: OffloadHeader.byteCount + 6)
            }
            return unsafe frame.withUnsafeBytes { bytes in
                let rest = unsafe UnsafeMutableRawBufferPointer(mutating: bytes)[replaced...]
                return unsafe write(header, UnsafeMutableRawBufferPointer(rebasing: rest))
            }
        }
    }

    private func write(
        _ header: UnsafeMutableRawBufferPointer, _ frame: UnsafeMutableRawBufferPointer
    ) -> Int32 {
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { parts in
            unsafe parts[0] = iovec(iov_base: header.baseAddress, iov_len: header.count)
            unsafe parts[1] = iovec(iov_base: frame.baseAddress, iov_len: frame.count)
            while true {
                let length = unsafe sluice_write_vector(descriptor, parts.baseAddress!, 2)
                if length != -Int(EINTR) { return length < 0 ? Int32(-length) : 0 }
            }
        }
    }

    /// What an errno of reading or writing says about the device; nil if it is only about one frame.
    func condition(after error: Int32) -> PortCondition? {
        switch error {
        // EIO: the device is down; EBADFD: somebody deleted it.
        case EIO, ENETDOWN: .down
        case EBADFD, ENXIO, ENODEV: .gone
        case EINVAL, EMSGSIZE, ENOMEM, ENOBUFS, EAGAIN: nil
        default: .failed(error)
        }
    }
}
