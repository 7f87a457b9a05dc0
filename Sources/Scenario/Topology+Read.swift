// A topology from a file: of its own, or within a case.

import Wire

extension Topology {
    /// Reads a file that holds a topology alone, and checks it.
    ///
    /// - Parameter file: what messages call the text.
    public init(yaml text: String, file: String) throws(CaseError) {
        let document = try YAMLDocument(text, file: file)
        let root = document.root
        try self.init(root)
        do { _ = try compiled() } catch {
            var fault = error
            // Here the topology is the whole file.
            if fault.field.hasPrefix("topology.") { fault.field.removeFirst("topology.".count) }
            throw document.located(fault)
        }
    }

    init(_ field: YAMLField) throws(CaseError) {
        self.init()
        let fields = try field.fields(["links", "routes", "policyRules", "neighbours", "settings"])
        for (name, link) in try fields["links"]?.entries() ?? [] {
            if name == "lo" {
                let own = try link.fields(["addresses"])
                loopbackAddresses = try Self.addresses(own["addresses"])
            } else {
                links.append(try Link(name: name, link))
            }
        }
        routes = try Self.texts(fields["routes"])
        policyRules = try Self.texts(fields["policyRules"])
        for item in try fields["neighbours"]?.items() ?? [] {
            neighbours.append(try Neighbour(item))
        }
        settings = try Self.settings(fields["settings"])
    }

    fileprivate static func addresses(_ field: YAMLField?) throws(CaseError) -> [LinkAddress] {
        var addresses: [LinkAddress] = []
        for item in try field?.items() ?? [] {
            addresses.append(try item.value("an address such as 10.0.0.1/24") { LinkAddress($0) })
        }
        return addresses
    }

    private static func texts(_ field: YAMLField?) throws(CaseError) -> [String] {
        var texts: [String] = []
        for item in try field?.items() ?? [] { texts.append(try item.text()) }
        return texts
    }

    fileprivate static func settings(_ field: YAMLField?) throws(CaseError) -> [String: String] {
        var settings: [String: String] = [:]
        for (name, value) in try field?.entries() ?? [] { settings[name] = try value.text() }
        return settings
    }
}

extension Topology.Link {
    fileprivate init(name: String, _ field: YAMLField) throws(CaseError) {
        let fields = try field.fields(["mac", "mtu", "addresses", "settings"])
        guard let mac = fields["mac"] else { throw field.fault("expected the field mac") }
        self.init(name: name, mac: try mac.macAddress())
        if let field = fields["mtu"] { mtu = try field.number(68...65_535) }
        addresses = try Topology.addresses(fields["addresses"])
        settings = try Topology.settings(fields["settings"])
    }
}

extension Topology.Neighbour {
    fileprivate init(_ field: YAMLField) throws(CaseError) {
        let fields = try field.fields(["address", "mac", "link"])
        guard let address = fields["address"], let mac = fields["mac"], let link = fields["link"]
        else { throw field.fault("expected the fields address, mac and link") }
        self.init(
            address: try address.value("an IPv4 address") { IPv4Address($0) },
            mac: try mac.macAddress(), link: try link.text())
    }
}

extension YAMLField {
    fileprivate func macAddress() throws(CaseError) -> MACAddress {
        try value("a MAC address such as 02:00:00:00:00:01") { MACAddress($0) }
    }
}
