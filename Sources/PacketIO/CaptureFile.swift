// Reading and writing capture files through libpcap, which knows pcap and pcapng, both byte orders and
// every timestamp format, and has met more malformed files than we ever shall.

import CPcap
import Glibc
import Wire

/// What libpcap said about a file or an expression.
public struct CaptureError: Error, Hashable, Sendable, CustomStringConvertible {
    public var subject: String
    public var message: String
    public var description: String { "\(subject): \(message)" }
}

/// Runs `body` with libpcap's error buffer and returns its text if `body` returned nil.
func withPcapErrors<R>(
    _ subject: String, _ body: (UnsafeMutablePointer<CChar>) -> R?
) throws(CaptureError) -> R {
    var buffer = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    let result = unsafe buffer.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
    if let result { return result }
    let text = String(
        decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    throw CaptureError(subject: subject, message: text)
}

/// A packet of a capture, in libpcap's own memory.
@safe
struct CapturedPacket {
    var bytes: UnsafeRawBufferPointer
    /// Its length on the wire.
    var wireLength: Int
    var time: Timestamp
}

@safe struct CaptureReader: ~Copyable {
    let path: String
    let linkType: Int32
    private let capture: OpaquePointer

    enum Next {
        case packet(CapturedPacket)
        case end
        /// The rest of the file cannot be read.
        case damaged(String)
    }

    /// - Parameter path: `-` is standard input.
    init(path: String) throws(CaptureError) {
        // libpcap would report a directory as a file without a header.
        var status = stat()
        if unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw CaptureError(subject: path, message: "is a directory")
        }
        let capture: OpaquePointer = try unsafe withPcapErrors(path) { errors in
            unsafe pcap_open_offline_with_tstamp_precision(
                path, UInt32(PCAP_TSTAMP_PRECISION_NANO), errors)
        }
        self.path = path
        unsafe self.capture = capture
        linkType = unsafe pcap_datalink(capture)
    }

    deinit { unsafe pcap_close(capture) }

    /// The packet's memory is valid until the next call.
    mutating func next() -> Next {
        var header: UnsafeMutablePointer<pcap_pkthdr>?
        var data: UnsafePointer<UInt8>?
        switch unsafe pcap_next_ex(capture, &header, &data) {
        case 1:
            guard let header = unsafe header, let data = unsafe data else { return .end }
            let info = unsafe header.pointee
            // With nanosecond precision libpcap keeps nanoseconds in tv_usec. Times before 1970 occur in
            // damaged files.
            let seconds = UInt64(max(0, info.ts.tv_sec))
            let nanoseconds = UInt64(max(0, info.ts.tv_usec))
            return unsafe .packet(
                CapturedPacket(
                    bytes: UnsafeRawBufferPointer(start: data, count: Int(info.caplen)),
                    wireLength: Int(info.len),
                    time: Timestamp(nanoseconds: seconds &* 1_000_000_000 &+ nanoseconds)))
        case -1:
            return .damaged(unsafe String(cString: pcap_geterr(capture)))
        default:
            return .end
        }
    }
}

/// A capture file being written, with nanosecond times.
@safe public final class CaptureWriter {
    /// What its packets begin with.
    public enum Content: Sendable {
        /// An Ethernet header.
        case ethernet
        /// An IP header.
        case ip
    }

    private let capture: OpaquePointer
    private let dumper: OpaquePointer

    private static let snapLength: Int32 = 262_144

    public init(path: String, content: Content = .ethernet) throws(CaptureError) {
        let capture = unsafe pcap_open_dead_with_tstamp_precision(
            content == .ethernet ? DLT_EN10MB : DLT_RAW, Self.snapLength,
            UInt32(PCAP_TSTAMP_PRECISION_NANO))
        guard let capture = unsafe capture else {
            throw CaptureError(subject: path, message: "out of memory")
        }
        guard let dumper = unsafe pcap_dump_open(capture, path) else {
            let message = unsafe String(cString: pcap_geterr(capture))
            unsafe pcap_close(capture)
            throw CaptureError(subject: path, message: message)
        }
        unsafe self.capture = capture
        unsafe self.dumper = dumper
    }

    deinit {
        unsafe pcap_dump_close(dumper)
        unsafe pcap_close(capture)
    }

    public func write(_ frame: RawSpan, time: Timestamp) {
        var header = pcap_pkthdr()
        header.ts.tv_sec = Int(time.nanoseconds / 1_000_000_000)
        header.ts.tv_usec = Int(time.nanoseconds % 1_000_000_000)
        header.caplen = UInt32(frame.byteCount)
        header.len = header.caplen
        unsafe frame.withUnsafeBytes { bytes in
            let data = unsafe bytes.bindMemory(to: UInt8.self).baseAddress
            unsafe pcap_dump(UnsafeMutablePointer<UInt8>(dumper), &header, data)
        }
    }

    /// Hands what is buffered to the file; false if the disk would not take it.
    public func flush() -> Bool { unsafe pcap_dump_flush(dumper) == 0 }
}
