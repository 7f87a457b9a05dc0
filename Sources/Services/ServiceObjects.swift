// The objects that were applied, and what must hold among them. A change is taken whole or refused whole.

import Wire

public struct ServiceObjects: Sendable {
    public private(set) var services: [ObjectName: Service] = [:]
    public private(set) var slices: [EndpointSlice.Key: EndpointSlice] = [:]
    /// Slices by the Service whose endpoints they hold.
    private var slicesOfService: [ObjectName: Set<EndpointSlice.Key>] = [:]
    /// Who answers at an address and port; node ports stand without an address.
    private var claims: [Claim: ObjectName] = [:]

    public init() {}

    public var isEmpty: Bool { services.isEmpty && slices.isEmpty }

    /// Something that one Service alone can have.
    private struct Claim: Hashable, CustomStringConvertible {
        var address: IPv4Address?
        var port: Port
        var transport: Transport

        var description: String {
            (address.map { "\($0):" } ?? "") + "\(port)/\(transport.rawValue)"
        }
    }

    /// The slices of a Service, in the order of their names.
    public func slices(of service: ObjectName) -> [EndpointSlice] {
        (slicesOfService[service] ?? []).sorted().compactMap { slices[$0] }
    }

    // MARK: Changes

    /// Takes objects in: each replaces the one of its kind, namespace and name.
    ///
    /// - Parameter prunes: `objects` are all there is to be; what is not among them goes.
    /// - Returns: the Services whose rules may be others now.
    /// - Throws: the first contradiction among the objects as they would be; nothing is changed then.
    public mutating func apply(
        _ objects: [ManifestObject], prunes: Bool = false
    ) throws(ManifestError) -> Set<ObjectName> {
        try Self.checkRepetition(objects)
        var changed = self
        var touched: Set<ObjectName> = []
        for object in prunes ? strangers(to: objects) : [] {
            changed.remove(object)
            touched.insert(object.serviceName)
        }
        // All that is replaced goes first: two Services may exchange their ports.
        let news = objects.filter { current($0)?.says(thatOf: $0) != true }
        for object in news {
            guard let before = current(object) else { continue }
            changed.remove(before)
            touched.insert(before.serviceName)
        }
        for object in news {
            try changed.insert(object)
            touched.insert(object.serviceName)
        }
        self = changed
        return touched
    }

    /// - Returns: the Services whose rules may be others now; empty where it was not there.
    public mutating func remove(service name: ObjectName) -> Set<ObjectName> {
        guard let service = services[name] else { return [] }
        remove(.service(service))
        return [name]
    }

    public mutating func remove(slice key: EndpointSlice.Key) -> Set<ObjectName> {
        guard let slice = slices[key] else { return [] }
        remove(.slice(slice))
        return [slice.serviceName]
    }

    private static func checkRepetition(_ objects: [ManifestObject]) throws(ManifestError) {
        var seen: [ManifestObject.Identity: ManifestPlace] = [:]
        for object in objects {
            if let before = seen.updateValue(object.place, forKey: object.identity) {
                throw ManifestError(
                    object.place, field: "metadata.name", "\(object.identity) is at \(before) too")
            }
        }
    }

    private var all: [ManifestObject] {
        services.values.map { .service($0) } + slices.values.map { .slice($0) }
    }

    /// What is there and not among `objects`.
    func strangers(to objects: [ManifestObject]) -> [ManifestObject] {
        let kept = Set(objects.map(\.identity))
        return all.filter { !kept.contains($0.identity) }
    }

    /// What bears the name of `object` now.
    func current(_ object: ManifestObject) -> ManifestObject? {
        switch object {
        case .service(let service): services[service.name].map { .service($0) }
        case .slice(let slice): slices[slice.key].map { .slice($0) }
        }
    }

    private mutating func remove(_ object: ManifestObject) {
        switch object {
        case .service(let service):
            services[service.name] = nil
            for claim in Self.claims(of: service) { claims[claim.claim] = nil }
        case .slice(let slice):
            slices[slice.key] = nil
            slicesOfService[slice.serviceName]?.remove(slice.key)
            if slicesOfService[slice.serviceName]?.isEmpty == true {
                slicesOfService[slice.serviceName] = nil
            }
        }
    }

    private mutating func insert(_ object: ManifestObject) throws(ManifestError) {
        switch object {
        case .service(let service):
            let wanted = Self.claims(of: service)
            for (claim, field, place) in wanted {
                guard let owner = claims[claim] else { continue }
                let other = services[owner].map { " (\($0.place))" } ?? ""
                throw ManifestError(place, field: field, "\(claim) belongs to \(owner)\(other)")
            }
            var seen: Set<Claim> = []
            for (claim, field, place) in wanted where !seen.insert(claim).inserted {
                throw ManifestError(place, field: field, "\(claim) is listed twice")
            }
            for claim in wanted { claims[claim.claim] = service.name }
            services[service.name] = service
        case .slice(let slice):
            slices[slice.key] = slice
            slicesOfService[slice.serviceName, default: []].insert(slice.key)
        }
    }

    /// What a Service answers at, with the fields that say so.
    private static func claims(
        of service: Service
    ) -> [(claim: Claim, field: String, place: ManifestPlace)] {
        var claims: [(claim: Claim, field: String, place: ManifestPlace)] = []
        guard let clusterIP = service.clusterIP else { return [] }
        for (index, port) in service.ports.enumerated() {
            if let nodePort = port.nodePort {
                let claim = Claim(address: nil, port: nodePort, transport: port.transport)
                claims.append((claim, "spec.ports[\(index)].nodePort", port.place))
            }
            let claim = Claim(address: clusterIP, port: port.port, transport: port.transport)
            claims.append((claim, "spec.clusterIP", service.place))
            // An address may be an external and a balancer's address of one Service.
            for address in Set(service.externalIPs).union(service.balancerIPs) {
                let claim = Claim(address: address, port: port.port, transport: port.transport)
                let field =
                    service.externalIPs.contains(address)
                    ? "spec.externalIPs" : "status.loadBalancer.ingress"
                claims.append((claim, field, service.place))
            }
        }
        return claims
    }
}

extension ManifestObject {
    /// Kind, namespace and name.
    struct Identity: Hashable, CustomStringConvertible {
        var kind: String
        var name: ObjectName
        var description: String { "\(kind) \(name)" }
    }

    var identity: Identity {
        switch self {
        case .service(let service): Identity(kind: "Service", name: service.name)
        case .slice(let slice): Identity(kind: slice.key.kind.rawValue, name: slice.key.name)
        }
    }

    var place: ManifestPlace {
        switch self {
        case .service(let service): service.place
        case .slice(let slice): slice.place
        }
    }

    /// Whether both say the same, wherever they stand.
    func says(thatOf other: ManifestObject) -> Bool {
        switch (self, other) {
        case (.service(let service), .service(var other)):
            other.place = service.place
            for (index, port) in service.ports.enumerated() where index < other.ports.count {
                other.ports[index].place = port.place
            }
            return service == other
        case (.slice(let slice), .slice(var other)):
            other.place = slice.place
            return slice == other
        default: return false
        }
    }

    /// The Service that it is, or is of.
    var serviceName: ObjectName {
        switch self {
        case .service(let service): service.name
        case .slice(let slice): slice.serviceName
        }
    }
}
