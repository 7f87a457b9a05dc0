// A Service from its manifest, checked as far as it stands alone.

import Wire

extension Service {
    init(_ field: ManifestField) throws(ManifestError) {
        let name = try field.objectName()
        guard name.name.isLabel, name.name.utf8.count <= 63 else {
            throw try field.required("metadata").required("name").fault(
                "a Service's name has no dots and 63 characters at most")
        }
        let spec = try field.required("spec")
        self.init(
            name: name, kind: try spec.member("type")?.word(Kind.self) ?? .clusterIP,
            weights: try field.weights(), place: field.place)
        if kind == .externalName {
            externalName = try Self.externalName(spec)
            return
        }
        clusterIP = try Self.clusterIP(spec)
        ports = try Self.ports(spec)
        if ports.isEmpty, !isHeadless {
            throw spec.missing("ports", "is missing: a Service has a port at least")
        }
        for item in try spec.items("externalIPs") { externalIPs.append(try item.address()) }
        try readBalancer(field, spec)
        try readPolicies(spec)
    }

    private static func externalName(_ spec: ManifestField) throws(ManifestError) -> String {
        let field = try spec.required("externalName")
        var name = try field.text().lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        guard name.isDomainName else {
            throw field.fault("'\(name.prefix(80))' is not a domain name")
        }
        return name
    }

    /// The IPv4 address of the Service; `nil` where it is headless.
    private static func clusterIP(_ spec: ManifestField) throws(ManifestError) -> IPv4Address? {
        var candidates = try spec.items("clusterIPs")
        if candidates.isEmpty, let single = try spec.member("clusterIP") { candidates = [single] }
        // Of a dual-stack Service's two addresses one is ours.
        for candidate in candidates {
            let text = try candidate.text()
            if text == "None" { return nil }
            if let address = IPv4Address(text) { return address }
        }
        guard let first = candidates.first, try !first.text().isEmpty else {
            throw spec.missing(
                "clusterIP",
                "is missing: no API server is here to choose one; expected an IPv4"
                    + " address, or None for a headless Service")
        }
        return try first.address()
    }

    private static func ports(_ spec: ManifestField) throws(ManifestError) -> [ServicePort] {
        var ports: [ServicePort] = []
        let items = try spec.items("ports")
        for item in items {
            let port = try ServicePort(item)
            if port.name.isEmpty, items.count > 1 {
                throw item.missing("name", "is missing: of several ports each has a name")
            }
            for other in ports {
                if other.name == port.name {
                    throw try item.required("name").fault(
                        "'\(port.name)' is the name of another port")
                }
                if other.port == port.port, other.transport == port.transport {
                    throw try item.required("port").fault(
                        "\(port.port)/\(port.transport.rawValue) is listed twice")
                }
            }
            ports.append(port)
        }
        return ports
    }

    private mutating func readBalancer(
        _ field: ManifestField, _ spec: ManifestField
    ) throws(ManifestError) {
        for item in try spec.items("loadBalancerSourceRanges") {
            sourceRanges.append(try item.network())
        }
        let balancer = try field.member("status")?.member("loadBalancer")
        for ingress in try balancer?.items("ingress") ?? [] {
            if let address = try ingress.member("ip") {
                balancerIPs.append(try address.address())
            }
        }
    }

    private mutating func readPolicies(_ spec: ManifestField) throws(ManifestError) {
        externalPolicy =
            try spec.member("externalTrafficPolicy")?.word(TrafficPolicy.self) ?? .cluster
        internalPolicy =
            try spec.member("internalTrafficPolicy")?.word(TrafficPolicy.self) ?? .cluster
        if let field = try spec.member("healthCheckNodePort"), try field.integer() != 0 {
            healthCheckNodePort = try field.port()
        }
        if try spec.member("sessionAffinity")?.word(Affinity.self) == .clientIP {
            affinity = try Self.affinitySeconds(spec)
        }
    }

    private enum Affinity: String, CaseIterable {
        case none = "None"
        case clientIP = "ClientIP"
    }

    /// Three hours where nothing is said; a day at most, as the API has it.
    private static func affinitySeconds(_ spec: ManifestField) throws(ManifestError) -> UInt32 {
        let client = try spec.member("sessionAffinityConfig")?.member("clientIP")
        guard let field = try client?.member("timeoutSeconds") else { return 10_800 }
        let seconds = try field.integer()
        guard (1...86_400).contains(seconds) else {
            throw field.fault("\(seconds) is not a time-out (1 to 86400 seconds)")
        }
        return UInt32(seconds)
    }
}

extension Service.ServicePort {
    init(_ field: ManifestField) throws(ManifestError) {
        let port = try field.required("port").port()
        var nodePort: Port?
        // The API server writes 0 where there is none.
        if let number = try field.member("nodePort"), try number.integer() != 0 {
            nodePort = try number.port()
        }
        self.init(
            name: try field.member("name")?.optionalLabel() ?? "",
            transport: try field.transport(), port: port,
            targetPort: try field.member("targetPort")?.targetPort() ?? "\(port)",
            nodePort: nodePort, place: field.place)
    }
}

extension ManifestField {
    /// A label, or nothing.
    func optionalLabel() throws(ManifestError) -> String {
        try text().isEmpty ? "" : label()
    }

    fileprivate func targetPort() throws(ManifestError) -> String {
        guard case .scalar(let scalar) = node, case .integer = ScalarKind(scalar) else {
            return try label()
        }
        return "\(try port())"
    }

    /// `10.0.0.0/8`; blanks around it are as good as none, as the API server has it.
    fileprivate func network() throws(ManifestError) -> IPv4Network {
        let text = try text().trimmingBlanks
        guard let network = IPv4Network(prefix: text) else {
            throw fault(
                text.contains(":")
                    ? "\(text) is of another family; Sluice carries IPv4"
                    : "'\(text)' is not a network: expected ADDRESS/BITS")
        }
        return network
    }
}

extension IPv4Network {
    /// `10.0.0.0/8`.
    public init?(prefix text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]),
            parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let bits = Int(parts[1]),
            (0...32).contains(bits)
        else { return nil }
        self.init(address, prefixLength: bits)
    }
}
