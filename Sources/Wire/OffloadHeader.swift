// What a frame carries beside its bytes when it crosses a port with virtio-net headers:
// the state of its transport checksum and whether it is a super-frame still to be segmented.

/// A virtio-net header without the queue fields (virtio 1.2, 5.1.6; `struct virtio_net_hdr`).
///
/// `needsChecksum` says that the transport checksum is *partial*: the field at
/// `checksumStart + checksumOffset` holds only the uncomplemented pseudo-header sum.
@frozen
public struct OffloadHeader: Hashable, Sendable {
    /// VIRTIO_NET_HDR_F_NEEDS_CSUM.
    public var needsChecksum: Bool
    /// VIRTIO_NET_HDR_F_DATA_VALID: the sender's side already verified the checksum.
    public var dataValid: Bool
    /// VIRTIO_NET_HDR_GSO_*, with the ECN bit; 0 is an ordinary frame.
    public var segmentationType: UInt8
    /// Bytes of headers to copy to each segment.
    public var headerLength: UInt16
    /// Payload bytes of a segment.
    public var segmentSize: UInt16
    /// Offset from the start of the *frame* where checksumming starts.
    public var checksumStart: UInt16
    /// Offset of the checksum field from `checksumStart`.
    public var checksumOffset: UInt16

    @inlinable
    public init(
        needsChecksum: Bool = false, dataValid: Bool = false, segmentationType: UInt8 = 0,
        headerLength: UInt16 = 0, segmentSize: UInt16 = 0, checksumStart: UInt16 = 0,
        checksumOffset: UInt16 = 0
    ) {
        self.needsChecksum = needsChecksum
        self.dataValid = dataValid
        self.segmentationType = segmentationType
        self.headerLength = headerLength
        self.segmentSize = segmentSize
        self.checksumStart = checksumStart
        self.checksumOffset = checksumOffset
    }

    @inlinable public static var none: Self { Self() }
    @inlinable public var isSuperFrame: Bool { segmentationType != 0 }
}
