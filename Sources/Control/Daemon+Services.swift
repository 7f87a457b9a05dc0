// `sluice service` over the live rules: the objects that were applied, the rules that they make, the swap, and
// the UDP flows that lose their endpoint by it.

import CLinux
import Conntrack
import FoundationEssentials
import Ruleset
import Services
import Wire

extension Daemon {
    func service(_ request: ControlRequest) -> ControlReply {
        guard request.arguments.count == 1,
            let wanted = try? JSONDecoder().decode(
                ServiceRequest.self, from: Data(request.arguments[0].utf8))
        else { return .done(.refused("the request about Services cannot be read")) }
        do throws(Refusal) {
            return .done(try carryOut(wanted, request.standardInput))
        } catch {
            return .done(CommandOutput(error: error.text, status: 2))
        }
    }

    private func carryOut(
        _ request: ServiceRequest, _ input: [UInt8]
    ) throws(Refusal) -> CommandOutput {
        switch request.action {
        case .apply, .delete: return try change(request, input)
        case .get:
            let found = try find(request)
            return CommandOutput(output: ServiceText.table(services.objects, found))
        case .describe:
            let texts = try find(request).map {
                ServiceText.description(
                    services.objects, $0, nodeName: services.configuration.nodeName)
            }
            return CommandOutput(output: texts.joined(separator: "\n"))
        case .rules:
            let rules = ServiceRules(services.objects, try configuration(request))
            return CommandOutput(output: rules.text(resolver: SystemNameResolver()))
        case .dns: return CommandOutput(output: try request.zone.zone().text(services.objects))
        }
    }

    private func find(_ request: ServiceRequest) throws(Refusal) -> [Service] {
        let found = services.objects.sorted(namespace: request.namespace, name: request.name)
        if found.isEmpty, let name = request.name {
            throw Refusal("there is no Service '\(name)'")
        }
        return found
    }

    /// As it would be with what the request says, and with the addresses that the node has now.
    private func configuration(_ request: ServiceRequest) throws(Refusal) -> ProxyConfiguration {
        var configuration = services.configuration
        try request.settings.apply(to: &configuration)
        let addresses = try refusing { () throws(PacketThreadFailure) in
            try packets.perform { node in node.mirror.snapshot.addresses.map(\.local) }
        }
        // The main address comes first: that of an interface that is no loopback.
        configuration.nodeAddresses =
            addresses.filter { !$0.isLoopback } + addresses.filter(\.isLoopback)
        return configuration
    }

    // MARK: Changes

    private func change(
        _ request: ServiceRequest, _ input: [UInt8]
    ) throws(Refusal) -> CommandOutput {
        var change = ServiceProxy.Change()
        var output = CommandOutput()
        var objects: [ManifestObject] = []
        var rest = input[...]
        for file in request.files {
            let manifest = try refusing { () throws(ManifestError) in
                try Manifest(bytes: rest.prefix(file.bytes), file: file.name)
            }
            rest = rest.dropFirst(file.bytes)
            objects += manifest.objects
            for remark in manifest.remarks { output.error += "sluice: \(remark)\n" }
        }
        if request.action == .apply {
            change.objects = objects
            change.prunes = request.prunes
            change.configuration = try configuration(request)
        } else {
            try remove(objects, request, from: &change)
        }
        var changed = services
        var ruleset = rules
        let isIntact = generation == serviceGeneration
        let outcome = try refusing { () throws(ManifestError) in
            try changed.carry(out: change, on: &ruleset, isIntact: isIntact)
        }
        if request.showsDifference {
            output.output += RulesetDifference.text(
                from: rules, to: ruleset, resolver: SystemNameResolver())
        } else {
            output.output += outcome.lines.map { $0 + "\n" }.joined()
        }
        guard !request.isDryRun else { return output }
        if !outcome.changedChains.isEmpty || !isIntact {
            let complaint = try refusing { () throws(PacketThreadFailure) in try install(ruleset) }
            if let complaint { throw Refusal(complaint) }
        }
        services = changed
        serviceGeneration = generation
        try refusing { () throws(PacketThreadFailure) in try end(outcome.staleFlows) }
        return output
    }

    private func remove(
        _ objects: [ManifestObject], _ request: ServiceRequest,
        from change: inout ServiceProxy.Change
    ) throws(Refusal) {
        for object in objects {
            switch object {
            case .service(let service): change.removedServices.append(service.name)
            case .slice(let slice): change.removedSlices.append(slice.key)
            }
        }
        guard let name = request.name else { return }
        let object = ObjectName(namespace: request.namespace ?? "default", name: name)
        switch request.kind {
        case "service", "services", "svc", nil:
            guard services.objects.services[object] != nil else {
                throw Refusal("there is no Service '\(object)'")
            }
            change.removedServices.append(object)
        case "endpointslice", "endpointslices", "endpoints":
            let kind: EndpointSlice.Kind = request.kind == "endpoints" ? .endpoints : .slice
            let key = EndpointSlice.Key(kind: kind, name: object)
            guard services.objects.slices[key] != nil else {
                throw Refusal("there is no \(kind.rawValue) '\(object)'")
            }
            change.removedSlices.append(key)
        case .some(let other):
            throw Refusal("'\(other)': expected service, endpointslice or endpoints")
        }
    }

    /// Ends the UDP flows that a change left behind, in slices between rounds.
    private func end(_ flows: Set<StaleFlow>) throws(PacketThreadFailure) {
        guard !flows.isEmpty else { return }
        var cursor: UInt32? = 0
        while let from = cursor {
            cursor = try packets.perform { node in
                node.connections.delete(
                    from: from, limit: Self.slice, now: Self.now(), where: flows.contains(flowOf:)
                ).next
            }
        }
    }
}

extension Set<StaleFlow> {
    /// Whether an entry is one of the flows.
    fileprivate func contains(flowOf record: ConnectionRecord) -> Bool {
        guard record.original.protocol == .udp else { return false }
        let isTranslated =
            record.reply.source != record.original.destination
            || record.reply.sourcePort != record.original.destinationPort
        let endpoint =
            isTranslated
            ? StaleFlow.Endpoint(address: record.reply.source, port: record.reply.sourcePort) : nil
        return [record.original.destination, nil].contains { destination in
            contains(
                StaleFlow(
                    destination: destination, port: record.original.destinationPort,
                    endpoint: endpoint))
        }
    }
}
