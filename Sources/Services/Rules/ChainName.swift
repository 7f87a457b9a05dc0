// The names of kube-proxy's chains: a prefix, and the beginning of a hash in base 32 (RFC 4648).

public enum ChainName {
    static let services = "KUBE-SERVICES"
    static let externalServices = "KUBE-EXTERNAL-SERVICES"
    static let nodePorts = "KUBE-NODEPORTS"
    static let postrouting = "KUBE-POSTROUTING"
    static let markMasquerade = "KUBE-MARK-MASQ"
    static let forward = "KUBE-FORWARD"
    static let proxyFirewall = "KUBE-PROXY-FIREWALL"
    static let kubeletFirewall = "KUBE-FIREWALL"

    /// All endpoints of a Service's port.
    static let clusterPrefix = "KUBE-SVC-"
    /// The endpoints of a Service's port on this node.
    static let localPrefix = "KUBE-SVL-"
    static let externalPrefix = "KUBE-EXT-"
    static let firewallPrefix = "KUBE-FW-"
    static let endpointPrefix = "KUBE-SEP-"

    /// Whether a chain is one of those that are made for a Service's port.
    static func isOfService(_ chain: String) -> Bool {
        [clusterPrefix, localPrefix, externalPrefix, firewallPrefix, endpointPrefix]
            .contains { chain.hasPrefix($0) }
    }

    /// The sixteen characters that stand for a port of a Service (`default/web:http`, "tcp"), or with
    /// `endpoint` ("10.0.0.2:8080") for one of its endpoints.
    static func hash(_ port: String, _ transport: Transport, endpoint: String = "") -> String {
        let digest = SHA256.digest(of: port + transport.word + endpoint)
        return base32(digest.prefix(10))
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)

    /// - Precondition: the bits are a multiple of five, so that nothing is padded.
    private static func base32(_ bytes: some Collection<UInt8>) -> String {
        precondition(bytes.count % 5 == 0, "base 32 encodes five bytes at a time")
        var text: [UInt8] = []
        var bits: UInt = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt(byte)
            count += 8
            while count >= 5 {
                count -= 5
                text.append(alphabet[Int(bits >> UInt(count) & 31)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
