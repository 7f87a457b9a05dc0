// `sluice explain`: what would become of a packet that is described, not sent. Nothing changes: no
// counter, no connection, no random number.

import CLinux
import Dataplane
import Explain
import FoundationEssentials
import Hooks
import Routing
import Ruleset
import Wire

/// What the client asks for, the only argument of the command `explain`.
public struct ExplainRequest: Codable, Hashable, Sendable {
    /// The interface it is to come in on; `nil` for a packet of the node's own.
    public var interface: String?
    public var packet: String
    public var json: Bool

    public init(interface: String?, packet: String, json: Bool) {
        self.interface = interface
        self.packet = packet
        self.json = json
    }
}

extension Daemon {
    func explain(_ request: ControlRequest) -> ControlReply {
        guard let argument = request.arguments.first,
            let wanted = try? JSONDecoder().decode(ExplainRequest.self, from: Data(argument.utf8))
        else { return .done(.refused("explain: expected a request as the sluice client sends it")) }
        do {
            let description = try PacketDescription(parsing: wanted.packet)
            guard let record = try walk(description, wanted.interface) else {
                return .done(.refused(unknownInterface(wanted.interface ?? "")))
            }
            return .done(CommandOutput(output: words(record.trace, json: wanted.json)))
        } catch let error as PacketDescriptionError {
            return .done(.refused("explain: \(error)"))
        } catch {
            return .done(.refused("\(error)"))
        }
    }

    private func words(_ trace: Trace, json: Bool) -> String {
        let text = traceText()
        if json { return jsonLine(text.steps(trace)) }
        return text.lines(trace).map { $0 + "\n" }.joined()
    }

    /// `nil` where there is no such interface.
    private func walk(
        _ description: PacketDescription, _ interface: String?
    ) throws(PacketThreadFailure) -> TraceRecord? {
        let frame = description.frame()
        return try packets.perform { node in
            var ingress = InterfaceIndex.none
            if let interface {
                let found = InterfaceName(interface).flatMap {
                    node.dataplane.engine.routes.interface(named: $0)
                }
                guard let found else { return nil }
                ingress = found.index
            }
            return node.explain(
                frame, from: ingress, mark: description.mark, userID: description.userID,
                groupID: description.groupID)
        }
    }

    private func unknownInterface(_ name: String) -> String {
        let names = interfaceNames().values.sorted().joined(separator: ", ")
        return "explain: there is no interface '\(name)' here; there are: \(names)"
    }

    func interfaceNames() -> [InterfaceIndex: String] {
        let interfaces = try? packets.perform { node in node.dataplane.engine.routes.interfaces }
        var names: [InterfaceIndex: String] = [:]
        for interface in interfaces ?? [] { names[interface.index] = "\(interface.name)" }
        return names
    }
}

extension Node {
    func explain(
        _ frame: [UInt8], from interface: InterfaceIndex, mark: UInt32, userID: UInt32?,
        groupID: UInt32?
    ) -> TraceRecord {
        var frame = frame
        return frame.withMutableRawSpan { bytes in
            dataplane.explain(
                &bytes, ingress: interface, mark: mark, userID: userID, groupID: groupID,
                now: Timestamp(nanoseconds: sluice_monotonic()))
        }
    }
}
