// `sluice service get` and `describe`: Services as tables and in full.

import Wire

public enum ServiceText {
    /// A line for each Service, in the columns of kubectl and with the endpoints behind them.
    public static func table(_ objects: ServiceObjects, _ services: [Service]) -> String {
        var rows = [
            ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "ENDPOINTS"]
        ]
        for service in services {
            let ready = objects.addresses(of: service).filter(\.isReady)
            let ports = service.ports.map { $0.text }.joined(separator: ",")
            rows.append([
                service.name.namespace, service.name.name, service.kind.rawValue,
                service.isHeadless ? "None" : service.clusterIP.map { "\($0)" } ?? "<none>",
                service.externalText, ports.isEmpty ? "<none>" : ports, "\(ready.count)",
            ])
        }
        return columns(rows)
    }

    public static func description(
        _ objects: ServiceObjects, _ service: Service, nodeName: String
    ) -> String {
        var lines: [(String, String)] = [
            ("Name", service.name.name), ("Namespace", service.name.namespace),
            ("Type", service.kind.rawValue),
        ]
        if let name = service.externalName {
            lines.append(("External Name", name))
        } else {
            lines.append(("IP", service.clusterIP.map { "\($0)" } ?? "None"))
        }
        if !service.externalIPs.isEmpty {
            lines.append(("External IPs", service.externalIPs.text))
        }
        if !service.balancerIPs.isEmpty {
            lines.append(("LoadBalancer Ingress", service.balancerIPs.text))
        }
        if !service.sourceRanges.isEmpty {
            let ranges = service.sourceRanges.map { "\($0.address)/\($0.prefixLength ?? 0)" }
            lines.append(("LoadBalancer Source Ranges", ranges.joined(separator: ", ")))
        }
        for port in service.ports {
            let name = port.name.isEmpty ? "<unset>" : port.name
            lines.append(("Port", "\(name)  \(port.port)/\(port.transport.rawValue)"))
            lines.append(("TargetPort", port.targetPort))
            if let nodePort = port.nodePort {
                lines.append(("NodePort", "\(nodePort)/\(port.transport.rawValue)"))
            }
            let endpoints = objects.endpoints(of: service, port, nodeName: nodeName)
            lines.append(("Endpoints", endpoints.isEmpty ? "<none>" : endpoints[0].describedText))
            for endpoint in endpoints.dropFirst() { lines.append(("", endpoint.describedText)) }
        }
        if let seconds = service.affinity {
            lines.append(("Session Affinity", "ClientIP, \(seconds) s"))
        } else if service.kind != .externalName {
            lines.append(("Session Affinity", "None"))
        }
        if service.kind != .externalName {
            lines.append(("External Traffic Policy", service.externalPolicy.rawValue))
            lines.append(("Internal Traffic Policy", service.internalPolicy.rawValue))
        }
        lines.append(("From", "\(service.place)"))
        return lines.map { name, value in
            (name.isEmpty ? "" : name + ":").padded(28) + value + "\n"
        }.joined()
    }

    private static func columns(_ rows: [[String]]) -> String {
        let widths = (rows.first ?? []).indices.map { column in
            rows.map { $0[column].utf8.count }.max() ?? 0
        }
        return rows.map { row in
            zip(row, widths).enumerated().map { index, cell in
                index == row.count - 1 ? cell.0 : cell.0.padded(cell.1 + 3)
            }.joined() + "\n"
        }.joined()
    }
}

extension Service {
    fileprivate var externalText: String {
        if let externalName { return externalName }
        let all = externalIPs + balancerIPs
        if all.isEmpty { return kind == .loadBalancer ? "<pending>" : "<none>" }
        return all.map { "\($0)" }.joined(separator: ",")
    }
}

extension Service.ServicePort {
    /// "80:30080/TCP"
    fileprivate var text: String {
        "\(port)" + (nodePort.map { ":\($0)" } ?? "") + "/\(transport.rawValue)"
    }
}

extension PortEndpoint {
    /// "10.0.0.2:8080  ready, on this node, weight 3"
    fileprivate var describedText: String {
        var words: [String] = []
        if isTerminating { words.append(isServing ? "terminating, serving" : "terminating") }
        if !isTerminating { words.append(isReady ? "ready" : "not ready") }
        if isLocal { words.append("on this node") }
        if weight == 0 {
            words.append("drained")
        } else if weight != 1 {
            words.append("weight \(weight)")
        }
        return "\(text)  (\(words.joined(separator: ", ")))"
    }
}

extension [IPv4Address] {
    fileprivate var text: String { map { "\($0)" }.joined(separator: ", ") }
}

extension String {
    fileprivate func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - utf8.count))
    }
}

extension ServiceObjects {
    /// The endpoints of a Service, whatever their ports, each address once.
    func addresses(of service: Service) -> [EndpointSlice.Endpoint] {
        var found: [IPv4Address: EndpointSlice.Endpoint] = [:]
        for endpoint in slices(of: service.name).flatMap({ $0.groups.flatMap(\.endpoints) }) {
            if found[endpoint.address]?.isReady != true { found[endpoint.address] = endpoint }
        }
        return found.values.sorted { $0.address < $1.address }
    }

    /// Services in the order of their names.
    public func sorted(
        namespace: String? = nil, name: String? = nil
    ) -> [Service] {
        services.values.filter {
            (namespace == nil || $0.name.namespace == namespace)
                && (name == nil || $0.name.name == name)
        }.sorted { $0.name < $1.name }
    }
}
