// A case as the text of its file. Reading it gives the case back.

import Wire
import Yams

extension Case {
    public var yaml: String {
        var pairs: [(Node, Node)] = []
        if !title.isEmpty { pairs.append(("title", Node(text: title))) }
        pairs.append(("seed", Node(text: "\(seed)")))
        pairs.append(("topology", topology.node))
        if !rules.isEmpty { pairs.append(("rules", Node(text: rules))) }
        pairs.append(("packets", Node(packets.map(\.node), .implicit, .block)))
        return Node(pairs, .implicit, .block).yaml
    }
}

extension Topology {
    /// The text of a file that holds this topology alone.
    public var yaml: String { node.yaml }

    fileprivate var node: Node {
        var pairs: [(Node, Node)] = []
        var links: [(Node, Node)] = []
        if !loopbackAddresses.isEmpty {
            links.append(("lo", Node([("addresses", .addresses(loopbackAddresses))])))
        }
        links += self.links.map { (Node(text: $0.name), $0.node) }
        if !links.isEmpty { pairs.append(("links", Node(links))) }
        if !routes.isEmpty { pairs.append(("routes", Node(routes.map { Node(text: $0) }))) }
        if !policyRules.isEmpty {
            pairs.append(("policyRules", Node(policyRules.map { Node(text: $0) })))
        }
        if !neighbours.isEmpty { pairs.append(("neighbours", Node(neighbours.map(\.node)))) }
        if !settings.isEmpty { pairs.append(("settings", .settings(settings))) }
        return Node(pairs)
    }
}

extension Topology.Link {
    fileprivate var node: Node {
        var pairs: [(Node, Node)] = [("mac", Node(text: "\(mac)")), ("mtu", Node(text: "\(mtu)"))]
        if !addresses.isEmpty { pairs.append(("addresses", .addresses(addresses))) }
        if !settings.isEmpty { pairs.append(("settings", .settings(settings))) }
        return Node(pairs)
    }
}

extension Topology.Neighbour {
    fileprivate var node: Node {
        Node(
            [
                ("address", Node(text: "\(address)")), ("mac", Node(text: "\(mac)")),
                ("link", Node(text: link)),
            ], .implicit, .flow)
    }
}

extension CasePacket {
    fileprivate var node: Node {
        var pairs: [(Node, Node)] = []
        if !note.isEmpty { pairs.append(("note", Node(text: note))) }
        pairs.append(("at", Node(text: TimeText.text(time))))
        if let answers { pairs.append(("answers", Node(text: "\(answers + 1)"))) }
        switch origin {
        case .wire(let link):
            pairs.append(("in", Node(text: link)))
            pairs.append(("frame", Node(text: FrameText.text(bytes, hasEthernet: true))))
        case .node(let mark, let userID, let groupID):
            pairs.append(("from", "node"))
            if mark != 0 { pairs.append(("mark", Node(text: "\(mark)"))) }
            if userID != 0 { pairs.append(("user", Node(text: "\(userID)"))) }
            if groupID != 0 { pairs.append(("group", Node(text: "\(groupID)"))) }
            pairs.append(("packet", Node(text: FrameText.text(bytes, hasEthernet: false))))
        }
        return Node(pairs)
    }
}

extension Node {
    /// Text of several lines stands as a block, as it is.
    fileprivate init(text: String) {
        self.init(text, .implicit, text.contains("\n") ? .literal : .any)
    }

    fileprivate static func addresses(_ addresses: [LinkAddress]) -> Node {
        Node(addresses.map { Node(text: "\($0)") }, .implicit, .flow)
    }

    fileprivate static func settings(_ settings: [String: String]) -> Node {
        Node(settings.keys.sorted().map { (Node(text: $0), Node(text: settings[$0] ?? "")) })
    }

    fileprivate var yaml: String {
        // Of a tree of text that was made here the emitter has nothing to refuse.
        do { return try serialize(node: self, width: -1, allowUnicode: true) } catch {
            preconditionFailure("writing YAML: \(error)")
        }
    }
}
