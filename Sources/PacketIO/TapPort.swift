// `tap:NAME`: a device of the user's own, made by Sluice, whose other end is the kernel's interface NAME:
// to be put into a bridge beside a virtual machine, moved into a namespace, or given an address by a
// test. Every frame that the interface sends is received here, ARP included; there is nothing to claim.

import CLinux
public import Dataplane
public import Wire

@safe public final class TapPort: FramePort {
    public let interface: InterfaceIndex
    public let name: String
    public let descriptor: Int32
    public private(set) var condition: PortCondition = .up

    private var device: TapDevice
    private var counters = PortStatistics()

    /// Makes the device and brings it up; it is gone with this object or the process.
    public init(name: String) throws(SystemError) {
        device = try TapDevice(name: name)
        try device.bringUp(arp: true)
        interface = device.interface
        self.name = name
        descriptor = device.descriptor
    }

    /// Overruns are what the device dropped because it was not read fast enough.
    public var statistics: PortStatistics {
        counters.overruns = unsafe sluice_interface_transmit_drops(name)
        return counters
    }

    public func receive(
        limit: Int, now: Timestamp, _ body: (inout MutableRawSpan, FrameMetadata) -> Void
    ) -> Int {
        var count = 0
        reading: while count < limit {
            switch device.read() {
            case .empty:
                break reading
            case .failed(let error):
                condition = device.condition(after: error) ?? condition
                break reading
            case .frame(let frame):
                count &+= 1
                condition = .up
                counters.receivedBytes &+= UInt64(frame.byteCount)
                let metadata = FrameMetadata(
                    ingress: interface, offload: frame.offload, time: now,
                    wireLength: frame.byteCount)
                var span = unsafe MutableRawSpan(
                    _unsafeStart: frame.start, byteCount: frame.byteCount)
                body(&span, metadata)
            }
        }
        counters.receivedFrames &+= UInt64(count)
        return count
    }

    /// Writes at once: a TAP has no call for many frames.
    public func enqueue(_ frame: RawSpan, _ metadata: TransmitMetadata) {
        let error = device.write(frame, offload: metadata.offload)
        guard error == 0 else {
            counters.failedSends &+= 1
            condition = device.condition(after: error) ?? condition
            return
        }
        condition = .up
        counters.sentFrames &+= 1
        counters.sentBytes &+= UInt64(frame.byteCount)
    }

    public func flush() {}

    public func releaseBatch() { device.release() }
}
