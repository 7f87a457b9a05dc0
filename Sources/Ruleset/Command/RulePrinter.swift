// One rule as `-S` and `iptables-save` print it, and as `-L` lists it: the text of iptables 1.8.9.

import Wire

extension Rule {
    /// `-A CHAIN …`, with `-c P B` before the target where `counters` asks for it (`-S -v`).
    public func saved(chain: String, counters: Bool, resolver: any NameResolver) -> String {
        var text = "-A " + chain
        text += Self.saved("-s", source) + Self.saved("-d", destination)
        text += Self.saved("-i", inInterface) + Self.saved("-o", outInterface)
        if let transport = `protocol` {
            text += (transport.inverted ? " !" : "") + " -p "
            text += resolver.protocolText(transport.value)
        }
        if let fragment { text += fragment.inverted ? " ! -f" : " -f" }
        for match in matches {
            let part = match.text
            text += " -m \(part.extensionName)" + part.saved
        }
        if counters { text += " -c \(self.counters.packets) \(self.counters.bytes)" }
        guard target != .none else { return text }
        if case .goto = target { text += " -g " } else { text += " -j " }
        return text + target.name + (target.text?.saved ?? "")
    }

    private static func saved(_ option: String, _ address: AddressMatch) -> String {
        guard !address.isAny else { return "" }
        let mask = address.network.mask
        let suffix = mask == .max ? "/32" : mask == 0 ? "/0" : maskSuffix(mask)
        return (address.inverted ? " !" : "") + " \(option) \(address.network.address)" + suffix
    }

    private static func saved(_ option: String, _ interface: InterfaceMatch?) -> String {
        guard let interface else { return "" }
        return (interface.inverted ? " !" : "") + " \(option) \(interface.text.nameForSave)"
    }
}

/// What `-L` shows and how.
struct ListingFormat {
    var names: ListingNames
    var verbose = false
    var exact = false
    var lineNumbers = false
    /// One rule as `-v -A` echoes it: no columns.
    var echo = false

    func counter(_ value: UInt64, _ width: Int = 5) -> String {
        if exact { return "\(value)".leftPadded(8) + " " }
        guard value > 99999 else { return "\(value)".leftPadded(5) + " " }
        var scaled = value
        for unit in ["K", "M", "G"] {
            scaled = (scaled + 500) / 1000
            if scaled <= 9999 { return "\(scaled)".leftPadded(4) + unit + " " }
        }
        return "\((scaled + 500) / 1000)".leftPadded(4) + "T "
    }

    var header: String {
        var text = lineNumbers ? "num  " : ""
        if verbose { text += exact ? "    pkts      bytes " : " pkts bytes " }
        text += "target     prot opt "
        if verbose { text += "in     out     " }
        return text + "source               destination         \n"
    }

    func row(_ rule: Rule, number: Int) -> String {
        var names = names
        names.transport = rule.protocol.flatMap { names.resolver.name(protocolNumber: $0.value) }
        var text = lineNumbers ? "\(number)".padded(4) + " " : ""
        if verbose && !echo {
            text += counter(rule.counters.packets) + counter(rule.counters.bytes)
        }
        text += echo ? rule.target.listedName + " " : rule.target.listedName.padded(9) + " "
        text += protocolColumn(rule) + (echo ? "opt " : "") + fragmentColumn(rule)
        if verbose { text += interfaceColumns(rule) }
        text += addressColumns(rule)
        if case .goto = rule.target { text += "[goto] " }
        for match in rule.matches { text += match.text.listed(names) }
        if let target = rule.target.text { text += target.listed(names) }
        return text + "\n"
    }

    private func protocolColumn(_ rule: Rule) -> String {
        let inverted = rule.protocol?.inverted == true
        var name: String
        if let number = rule.protocol?.value {
            name = names.numeric && !echo ? "\(number.rawValue)" : resolverText(number)
        } else {
            name = names.numeric && !echo ? "0" : "all"
        }
        if !echo { name = name.padded(4) }
        return (inverted ? "!" : " ") + name + " "
    }

    private func resolverText(_ number: IPProtocol) -> String {
        names.resolver.protocolText(number)
    }

    private func fragmentColumn(_ rule: Rule) -> String {
        guard let fragment = rule.fragment else { return "-- " }
        return fragment.inverted ? "!f " : "-f "
    }

    private func interfaceColumns(_ rule: Rule) -> String {
        func column(_ interface: InterfaceMatch?, _ word: String) -> String {
            let any = names.numeric ? "*" : "any"
            let name = interface.map { ($0.inverted ? "!" : "") + $0.text } ?? any
            return echo ? "\(word) \(name) " : name.padded(6) + " "
        }
        return (echo ? "" : " ") + column(rule.inInterface, "in")
            + column(rule.outInterface, "out")
    }

    private func addressColumns(_ rule: Rule) -> String {
        func name(_ address: AddressMatch) -> String {
            names.network(address.network.address, mask: address.network.mask)
        }
        let (source, destination) = (name(rule.source), name(rule.destination))
        let sourceMark = rule.source.inverted ? "!" : " "
        let destinationMark = rule.destination.inverted ? "!" : " "
        if echo { return "\(sourceMark)\(source) \(destinationMark)-> \(destination)  " }
        return sourceMark + source.padded(19) + " " + destinationMark + destination.padded(19)
            + " "
    }
}
