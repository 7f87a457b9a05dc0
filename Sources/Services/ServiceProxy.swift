// A node's Services: what was applied, and what became of it in the rules. A value: a change is made on a
// copy, and the copy is kept once the rules that it asks for are in force.

import Ruleset

public struct ServiceProxy: Sendable {
    public private(set) var objects = ServiceObjects()
    public private(set) var configuration: ProxyConfiguration
    /// `nil` while there is nothing to make rules of.
    private var rules: ServiceRules?

    public init(_ configuration: ProxyConfiguration) { self.configuration = configuration }

    /// What to change, all of it in one step.
    public struct Change: Sendable {
        public var objects: [ManifestObject] = []
        /// `objects` are all there is to be.
        public var prunes = false
        public var removedServices: [ObjectName] = []
        public var removedSlices: [EndpointSlice.Key] = []
        /// `nil`: as it was.
        public var configuration: ProxyConfiguration?

        public init() {}
    }

    public struct Outcome: Sendable {
        /// "service/web created": a line for each object, in order.
        public var lines: [String] = []
        /// Chains that are others now.
        public var changedChains: [ChainKey] = []
        public var staleFlows: Set<StaleFlow> = []
    }

    /// Changes objects and the rules that are made of them.
    ///
    /// - Parameter isIntact: nobody else has touched the rules since the last change made here; else all
    ///   chains are looked at, and those that are not as they should be are written.
    /// - Throws: what is wrong with the objects; nothing is changed then.
    public mutating func carry(
        out change: Change, on ruleset: inout Ruleset, isIntact: Bool
    ) throws(ManifestError) -> Outcome {
        var outcome = Outcome()
        let before = objects
        var touched: Set<ObjectName> = []
        for name in change.removedServices { touched.formUnion(objects.remove(service: name)) }
        for key in change.removedSlices { touched.formUnion(objects.remove(slice: key)) }
        do { touched.formUnion(try objects.apply(change.objects, prunes: change.prunes)) } catch {
            objects = before
            throw error
        }
        outcome.lines = Self.lines(change, before, objects)
        let reconfigured = change.configuration.map { $0 != configuration } ?? false
        let former = configuration
        configuration = change.configuration ?? configuration
        outcome.staleFlows = before.staleFlows(
            touched, after: objects, nodeName: configuration.nodeName)

        let changes: [ChainKey: [Rule]?]
        if objects.isEmpty {
            changes = (rules?.chains ?? [:]).mapValues { _ in nil }
            ruleset.clear(changes.keys, jumpsFor: former)
            rules = nil
        } else if isIntact, !reconfigured, rules != nil {
            changes = rules?.update(touched, objects) ?? [:]
            if !changes.isEmpty { ruleset.carry(changes, jumpsFor: configuration) }
        } else {
            if former.localhostNodePorts, !configuration.localhostNodePorts {
                ruleset.clear([ServiceRules.guardChain], jumpsFor: former)
            }
            let all = ServiceRules(objects, configuration)
            changes = ruleset.changes(to: all.chains)
            ruleset.carry(changes, jumpsFor: configuration)
            rules = all
        }
        outcome.changedChains = changes.keys.sorted()
        return outcome
    }

    private static func lines(
        _ change: Change, _ before: ServiceObjects, _ after: ServiceObjects
    ) -> [String] {
        var lines: [String] = []
        for object in change.objects {
            let old = before.current(object)
            let word =
                old == nil ? "created" : old == after.current(object) ? "unchanged" : "configured"
            lines.append("\(object.identity.text) \(word)")
        }
        var gone: [ManifestObject] = []
        gone += change.removedServices.compactMap { before.services[$0].map { .service($0) } }
        gone += change.removedSlices.compactMap { before.slices[$0].map { .slice($0) } }
        if change.prunes { gone += before.strangers(to: change.objects) }
        return lines + gone.map { "\($0.identity.text) deleted" }.sorted()
    }
}

extension ManifestObject.Identity {
    /// As kubectl says it, with the namespace in front where it is not the default one.
    fileprivate var text: String {
        let kind = kind == "EndpointSlice" ? "endpointslice.discovery.k8s.io" : kind.lowercased()
        let place = name.namespace == "default" ? "" : "\(name.namespace)/"
        return "\(place)\(kind)/\(name.name)"
    }
}
