// The virtio-net header as it lies in memory shared with the kernel: ten bytes, host byte order
// (AF_PACKET and TAP both use the legacy layout unless told otherwise).

import Wire

extension OffloadHeader {
    static let byteCount = 10

    /// - Precondition: `pointer` is followed by ten readable bytes.
    @inline(__always)
    init(at pointer: UnsafeRawPointer) {
        let flags = unsafe pointer.load(as: UInt8.self)
        unsafe self.init(
            needsChecksum: flags & 1 != 0, dataValid: flags & 2 != 0,
            segmentationType: pointer.load(fromByteOffset: 1, as: UInt8.self),
            headerLength: pointer.loadUnaligned(fromByteOffset: 2, as: UInt16.self),
            segmentSize: pointer.loadUnaligned(fromByteOffset: 4, as: UInt16.self),
            checksumStart: pointer.loadUnaligned(fromByteOffset: 6, as: UInt16.self),
            checksumOffset: pointer.loadUnaligned(fromByteOffset: 8, as: UInt16.self))
    }

    /// - Precondition: `pointer` is followed by ten writable bytes.
    @inline(__always)
    func store(at pointer: UnsafeMutableRawPointer) {
        let flags: UInt8 = (needsChecksum ? 1 : 0) | (dataValid ? 2 : 0)
        unsafe pointer.storeBytes(of: flags, as: UInt8.self)
        unsafe pointer.storeBytes(of: segmentationType, toByteOffset: 1, as: UInt8.self)
        unsafe pointer.storeBytes(of: headerLength, toByteOffset: 2, as: UInt16.self)
        unsafe pointer.storeBytes(of: segmentSize, toByteOffset: 4, as: UInt16.self)
        unsafe pointer.storeBytes(of: checksumStart, toByteOffset: 6, as: UInt16.self)
        unsafe pointer.storeBytes(of: checksumOffset, toByteOffset: 8, as: UInt16.self)
    }
}
