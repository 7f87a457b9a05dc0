// The names of Services as DNS serves them: a zone file in standard format (RFC 1035, 5), with the records
// that Kubernetes specifies for Services, and a Corefile with which CoreDNS serves it.

import Wire

public struct ZoneFile: Sendable {
    /// The cluster's domain, `cluster.local` as a rule.
    public var domain: String
    /// Where the zone is served, which the zone says of itself.
    public var server: IPv4Address
    /// Greater than that of any zone served before it (RFC 1982).
    public var serial: UInt32

    /// - Returns: `nil` where `domain` is no domain name.
    public init?(domain: String, server: IPv4Address, serial: UInt32) {
        guard domain.isDomainName else { return nil }
        self.domain = domain
        self.server = server
        self.serial = serial
    }

    /// Seconds for which an answer may be kept: endpoints come and go.
    private static let lifetime = 5

    public var name: String { "\(domain).zone" }

    public func text(_ objects: ServiceObjects) -> String {
        var text = """
            $ORIGIN \(domain).
            $TTL \(Self.lifetime)
            @ IN SOA ns.dns hostmaster \(serial) 7200 1800 86400 \(Self.lifetime)
            @ IN NS ns.dns
            ns.dns IN A \(server)

            """
        for service in objects.sorted() {
            for (name, kind, value) in Self.records(service, objects) {
                text += "\(name) IN \(kind) \(value)\n"
            }
        }
        return text
    }

    public var corefile: String {
        """
        \(domain):53 {
            file \(name)
            errors
        }
        .:53 {
            forward . /etc/resolv.conf
            errors
        }

        """
    }

    private static func records(
        _ service: Service, _ objects: ServiceObjects
    ) -> [(name: String, kind: String, value: String)] {
        let name = "\(service.name.name).\(service.name.namespace).svc"
        if let alias = service.externalName { return [(name, "CNAME", "\(alias).")] }
        if let address = service.clusterIP { return [(name, "A", "\(address)")] }
        // Headless: the name stands for the endpoints, and each with a hostname has a name of its own.
        let ready = objects.addresses(of: service).filter(\.isReady)
        return ready.map { (name, "A", "\($0.address)") }
            + ready.compactMap { endpoint in
                endpoint.hostname.map { ("\($0).\(name)", "A", "\(endpoint.address)") }
            }
    }
}
