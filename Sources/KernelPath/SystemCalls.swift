// The system calls of this module, each wrapped once: the only unsafe code here. Every pointer lives for
// one call, under its own length.

import CLinux
import Glibc

/// Closes its descriptor when the last reference goes.
final class Descriptor {
    let number: Int32

    /// - Parameter number: what a call returned: a descriptor, or a negative errno.
    init(_ number: Int32, _ operation: @autoclosure () -> String) throws(KernelPathError) {
        guard number >= 0 else {
            throw KernelPathError("cannot \(operation()): \(errorText(-number))")
        }
        self.number = number
    }

    deinit { close(number) }

    static func open(_ path: String, _ flags: Int32) throws(KernelPathError) -> Descriptor {
        let number = unsafe Glibc.open(path, flags | O_CLOEXEC)
        return try Descriptor(number < 0 ? -errno : number, "open \(path)")
    }

    /// One frame that waits, if one does. The largest fits.
    func read() -> [UInt8]? {
        let size = 1 << 17
        let frame = unsafe [UInt8](unsafeUninitializedCapacity: size) { memory, count in
            count = max(0, unsafe Glibc.read(number, memory.baseAddress, size))
        }
        return frame.isEmpty ? nil : frame
    }

    /// All of it in one call: 0, or an errno.
    func write(_ bytes: [UInt8]) -> Int32 {
        while true {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(number, $0.baseAddress, $0.count)
            }
            if count >= 0 { return 0 }
            if errno != EINTR { return errno }
        }
    }

    /// Everything from the beginning of a file.
    func contents() -> String {
        var bytes: [UInt8] = []
        while true {
            let size = 1 << 16
            let part = unsafe [UInt8](unsafeUninitializedCapacity: size) { memory, count in
                count = max(0, unsafe pread(number, memory.baseAddress, size, bytes.count))
            }
            if part.isEmpty { return String(decoding: bytes, as: UTF8.self) }
            bytes += part
        }
    }

    /// An anonymous file.
    static func memory(_ name: String) throws(KernelPathError) -> Descriptor {
        try Descriptor(unsafe sluice_memory_file(name), "create a file in memory")
    }
}

func errorText(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

func interfaceIndex(_ name: String) -> UInt32 { unsafe sluice_interface_index(name) }

func openTap(_ name: String) throws(KernelPathError) -> Descriptor {
    try Descriptor(unsafe sluice_plain_tap_open(name), "make the TAP device \(name)")
}

/// Sends a whole IPv4 packet: 0, or the errno with which the kernel refused it.
func sendPacket(_ packet: [UInt8], through sender: Descriptor) -> Int32 {
    unsafe packet.withUnsafeBufferPointer { buffer in
        -(unsafe sluice_packet_sender_send(
            sender.number, buffer.baseAddress!, buffer.count))
    }
}
