// A case from its file: fields, then what they mean together. What is returned can be run.

import Wire

extension Case {
    /// Reads a case and checks it as far as it can be without running it.
    ///
    /// - Parameter file: what messages call the text.
    public init(yaml text: String, file: String) throws(CaseError) {
        let document = try YAMLDocument(text, file: file)
        let root = document.root
        let fields = try root.fields(["title", "seed", "topology", "rules", "packets"])
        guard let topology = fields["topology"] else {
            throw root.fault("expected the field topology")
        }
        self.init(topology: try Topology(topology))
        if let field = fields["title"] { title = try field.text() }
        if let field = fields["seed"] { seed = try field.number(0...UInt64.max) }
        if let field = fields["rules"] { rules = try field.text() }
        for field in try fields["packets"]?.items() ?? [] {
            packets.append(try CasePacket(field, earlier: packets))
        }
        do { try check() } catch { throw document.located(error) }
    }

    /// Checks what holds the parts together.
    ///
    /// - Throws: with the path of the field at fault.
    public func check() throws(CaseError) {
        _ = try topology.compiled()
        do { _ = try RulesText.parse(rules, name: "rules") } catch {
            throw CaseError(
                line: error.line, column: error.column, field: "rules", error.message)
        }
        for (index, packet) in packets.enumerated() {
            let field = "packets[\(index + 1)]"
            if case .wire(let link) = packet.origin,
                !topology.links.contains(where: { $0.name == link })
            {
                let names = topology.links.map(\.name).joined(separator: ", ")
                throw CaseError(
                    field: "\(field).in", "expected one of the links \(names), found '\(link)'")
            }
            guard index == 0 || packets[index - 1].time <= packet.time else {
                throw CaseError(
                    field: "\(field).at", "expected a time no earlier than the packet's before")
            }
            guard packet.answers.map({ (0..<index).contains($0) }) ?? true else {
                throw CaseError(
                    field: "\(field).answers", "expected the number of an earlier packet")
            }
        }
    }
}

extension CasePacket {
    fileprivate init(_ field: YAMLField, earlier: [CasePacket]) throws(CaseError) {
        let fields = try field.fields([
            "at", "in", "frame", "from", "packet", "mark", "user", "group", "answers",
            "note",
        ])
        switch (fields["in"], fields["from"]) {
        case (let link?, nil):
            for name in ["packet", "mark", "user", "group"] {
                if let wrong = fields[name] {
                    throw wrong.fault("goes with 'from: node'; a packet with 'in' has a frame")
                }
            }
            guard let frame = fields["frame"] else { throw field.fault("expected the field frame") }
            self.init(origin: .wire(link: try link.text()), bytes: try Self.bytes(frame))
        case (nil, let from?):
            _ = try from.value("node") { $0 == "node" ? $0 : nil }
            if let wrong = fields["frame"] {
                throw wrong.fault("goes with 'in'; a packet from the node has a packet")
            }
            guard let packet = fields["packet"] else {
                throw field.fault("expected the field packet")
            }
            let mark = try fields["mark"]?.value("a number such as 1 or 0x10", NumberText.unsigned)
            let user = try fields["user"]?.number(0...UInt32.max)
            let group = try fields["group"]?.number(0...UInt32.max)
            self.init(
                origin: .node(mark: mark ?? 0, userID: user ?? 0, groupID: group ?? 0),
                bytes: try Self.bytes(packet))
        default: throw field.fault("expected either 'in: LINK' or 'from: node'")
        }
        if let at = fields["at"] {
            time = try at.value("seconds such as 1.5") { TimeText.timestamp($0) }
        } else {
            time = earlier.last?.time ?? time
        }
        if let number = fields["answers"] {
            guard !earlier.isEmpty else { throw number.fault("there is no earlier packet") }
            answers = try number.number(1...earlier.count) - 1
        }
        if let text = fields["note"] { note = try text.text() }
    }

    private static func bytes(_ field: YAMLField) throws(CaseError) -> [UInt8] {
        do { return try FrameText.bytes(try field.text()) } catch let fault as FrameText.Fault {
            throw field.fault(fault.message, line: fault.line, column: fault.column)
        } catch let error as CaseError {
            throw error
        } catch {
            throw field.fault("\(error)")
        }
    }
}

/// Seconds with up to nine places.
enum TimeText {
    static func timestamp(_ text: String) -> Timestamp? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), !parts[0].isEmpty,
            parts.allSatisfy({ $0.allSatisfy { $0.isASCII && $0.isNumber } }),
            let seconds = UInt64(parts[0]), seconds < UInt64.max / 1_000_000_000
        else { return nil }
        var fraction: UInt64 = 0
        if parts.count == 2 {
            guard (1...9).contains(parts[1].count), let digits = UInt64(parts[1]) else {
                return nil
            }
            fraction = (parts[1].count..<9).reduce(digits) { value, _ in value * 10 }
        }
        return Timestamp(nanoseconds: seconds * 1_000_000_000 + fraction)
    }

    /// As few places as say it exactly.
    static func text(_ time: Timestamp) -> String {
        let seconds = time.nanoseconds / 1_000_000_000
        var fraction = String(time.nanoseconds % 1_000_000_000)
        fraction = String(repeating: "0", count: 9 - fraction.count) + fraction
        while fraction.last == "0" { fraction.removeLast() }
        return fraction.isEmpty ? "\(seconds)" : "\(seconds).\(fraction)"
    }
}
