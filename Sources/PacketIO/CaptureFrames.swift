// A whole capture as values, for what runs it offline. Whatever was not captured whole is refused: a frame
// that was cut short would be judged as malformed, which it never was.

import CPcap
public import Wire

/// One Ethernet frame of a capture.
public struct CapturedFrame: Hashable, Sendable {
    public var bytes: [UInt8]
    /// Since 1970.
    public var time: Timestamp
}

public enum CaptureFrames {
    /// Reads a pcap or pcapng file to its end.
    ///
    /// - Throws: where the file is no capture, is damaged, is of another link layer than Ethernet, or has a
    ///   frame that was cut short.
    public static func read(_ path: String) throws(CaptureError) -> [CapturedFrame] {
        var reader = try CaptureReader(path: path)
        guard reader.linkType == DLT_EN10MB else {
            throw CaptureError(
                subject: path,
                message:
                    "its packets are of link type \(name(of: reader.linkType)); expected Ethernet")
        }
        var frames: [CapturedFrame] = []
        while true {
            switch reader.next() {
            case .end: return frames
            case .damaged(let message):
                throw CaptureError(
                    subject: path, message: "behind packet \(frames.count): \(message)")
            case .packet(let packet):
                let bytes = unsafe [UInt8](packet.bytes)
                guard bytes.count == packet.wireLength else {
                    throw CaptureError(
                        subject: path,
                        message: "packet \(frames.count + 1) was cut to \(bytes.count) of "
                            + "\(packet.wireLength) bytes; expected a capture of whole frames "
                            + "(tcpdump -s 0)")
                }
                frames.append(CapturedFrame(bytes: bytes, time: packet.time))
            }
        }
    }

    private static func name(of linkType: Int32) -> String {
        guard let name = unsafe pcap_datalink_val_to_name(linkType) else { return "\(linkType)" }
        return unsafe String(cString: name)
    }
}
