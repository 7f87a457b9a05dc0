// A libpcap filter expression (pcap-filter(7)) over Ethernet frames: what a person types after
// `sluice trace`. Compiled once; matching neither allocates nor fails.

import CPcap

@safe public final class PacketFilter {
    public let expression: String
    private var program = unsafe bpf_program()

    /// Compiles `expression`; the empty one matches everything.
    public init(_ expression: String) throws(CaptureError) {
        self.expression = expression
        guard let capture = unsafe pcap_open_dead(DLT_EN10MB, 262_144) else {
            throw CaptureError(subject: expression, message: "out of memory")
        }
        defer { unsafe pcap_close(capture) }
        let status = unsafe pcap_compile(
            capture, &program, expression, 1, bpf_u_int32(PCAP_NETMASK_UNKNOWN))
        guard status == 0 else {
            let message = unsafe String(cString: pcap_geterr(capture))
            throw CaptureError(subject: "filter '\(expression)'", message: message)
        }
    }

    deinit { unsafe pcap_freecode(&program) }

    /// Whether a frame matches.
    /// - Parameter wireLength: its length on the wire, for `len`, `less` and `greater`.
    public func matches(_ frame: RawSpan, wireLength: Int? = nil) -> Bool {
        unsafe frame.withUnsafeBytes { bytes in
            let data = unsafe bytes.bindMemory(to: UInt8.self).baseAddress
            return unsafe bpf_filter(
                program.bf_insns, data, UInt32(wireLength ?? bytes.count), UInt32(bytes.count)) != 0
        }
    }
}
