// EndpointSlices and Endpoints from their manifests.

import Wire

extension EndpointSlice {
    /// The label by which a slice names its Service.
    private static let serviceLabel = "kubernetes.io/service-name"

    init(_ field: ManifestField) throws(ManifestError) {
        let name = try field.objectName()
        let metadata = try field.required("metadata")
        guard let label = try metadata.member("labels")?.member(Self.serviceLabel) else {
            throw metadata.missing(
                "labels", "has no \(Self.serviceLabel), which names the Service of these endpoints")
        }
        try Self.checkFamily(field)
        var group = Group()
        for item in try field.items("endpoints") {
            group.endpoints.append(try Endpoint(slice: item))
        }
        for item in try field.items("ports") {
            if let port = try SlicePort(item) { group.ports.append(port) }
        }
        self.init(
            key: Key(kind: .slice, name: name), service: try label.label(), groups: [group],
            weights: try field.weights(), place: field.place)
    }

    private static func checkFamily(_ field: ManifestField) throws(ManifestError) {
        let type = try field.required("addressType")
        let family = try type.text()
        guard family == "IPv4" else {
            throw type.fault("'\(family)' endpoints cannot be reached; Sluice carries IPv4")
        }
    }

    /// The older object, which bears its Service's name.
    init(endpoints field: ManifestField) throws(ManifestError) {
        let name = try field.objectName()
        var groups: [Group] = []
        for subset in try field.items("subsets") {
            var group = Group()
            for item in try subset.items("addresses") {
                group.endpoints.append(try Endpoint(address: item, isReady: true))
            }
            for item in try subset.items("notReadyAddresses") {
                group.endpoints.append(try Endpoint(address: item, isReady: false))
            }
            for item in try subset.items("ports") {
                if let port = try SlicePort(item) { group.ports.append(port) }
            }
            groups.append(group)
        }
        self.init(
            key: Key(kind: .endpoints, name: name), service: name.name, groups: groups,
            weights: try field.weights(), place: field.place)
    }
}

extension EndpointSlice.SlicePort {
    /// `nil` where no port is said: such a slice has addresses for DNS only.
    init?(_ field: ManifestField) throws(ManifestError) {
        guard let port = try field.member("port") else { return nil }
        self.init(
            name: try field.member("name")?.optionalLabel() ?? "",
            transport: try field.transport(), port: try port.port())
    }
}

extension EndpointSlice.Endpoint {
    /// One of a slice. Of its addresses the first counts, as everywhere in Kubernetes.
    init(slice field: ManifestField) throws(ManifestError) {
        guard let first = try field.items("addresses").first else {
            throw field.missing("addresses", "is missing: an endpoint has an address")
        }
        self.init(address: try first.address())
        // v1beta1 names the node in its topology.
        node = try field.member("nodeName")?.text()
        if node == nil {
            node = try field.member("topology")?.member("kubernetes.io/hostname")?.text()
        }
        hostname = try field.member("hostname")?.label()
        guard let conditions = try field.member("conditions") else { return }
        // What is not said counts as ready and serving.
        isReady = try conditions.member("ready")?.boolean() ?? true
        isServing = try conditions.member("serving")?.boolean() ?? true
        isTerminating = try conditions.member("terminating")?.boolean() ?? false
    }

    /// One of an Endpoints.
    init(address field: ManifestField, isReady: Bool) throws(ManifestError) {
        self.init(address: try field.required("ip").address())
        node = try field.member("nodeName")?.text()
        hostname = try field.member("hostname")?.label()
        self.isReady = isReady
        isServing = isReady
    }
}
