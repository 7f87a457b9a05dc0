// What each of iptables' own options does to the command being read.

import Wire

extension CommandParser {
    mutating func take(
        _ option: GlobalOption, _ argument: String, given: Bool
    ) throws(CommandError) {
        if let kind = option.command { return try take(kind, argument, given: given) }
        switch option {
        case .source:
            try once(option, invertible: true)
            sourceText = (argument, inverted)
        case .destination:
            try once(option, invertible: true)
            destinationText = (argument, inverted)
        case .transport: try takeTransport(argument)
        case .inInterface:
            try once(option, invertible: true)
            rule.inInterface = try AddressText.parseInterface(
                argument, inverted: inverted, warnings: &warnings)
        case .outInterface:
            try once(option, invertible: true)
            rule.outInterface = try AddressText.parseInterface(
                argument, inverted: inverted, warnings: &warnings)
        case .fragments:
            try once(option, invertible: true)
            rule.fragment = FragmentMatch(inverted: inverted)
        case .jump: try takeJump(argument)
        case .goto:
            try once(.jump, invertible: false)
            isGoto = true
            jump = try Self.targetName(argument)
        case .match: try takeMatch(argument)
        case .table: try takeTable(argument)
        case .counters: try takeCounters(argument)
        case .numeric, .exact, .lineNumbers: try once(option, invertible: false)
        case .verbose: seen.insert(.verbose)
        case .wait: try takeWait(argument, given: given)
        case .waitInterval: try takeWaitInterval(argument, given: given)
        case .version: answer = "version"
        case .help: answer = "help"
        case .ipv6 where fileTable == nil: throw CommandError(.bare, status: 2, "", word: "-6")
        default: break
        }
    }

    private mutating func once(
        _ option: GlobalOption, invertible: Bool
    ) throws(CommandError) {
        guard !seen.contains(option) else {
            throw .parameter(
                "multiple -\(option.rawValue) flags not allowed", word: "-\(option.rawValue)",
                expected: "one of them")
        }
        guard !inverted || invertible else {
            throw .parameter("cannot have ! before -\(option.rawValue)", word: "!")
        }
        seen.insert(option)
    }

    private mutating func takeTransport(_ argument: String) throws(CommandError) {
        try once(.transport, invertible: true)
        guard let number = resolver.parseProtocol(argument) else {
            throw .parameter(
                "unknown protocol \"\(argument)\" specified", word: argument,
                expected: "a number from 0 to 255 or the name of a protocol")
        }
        guard number.rawValue != 0 else {
            guard !inverted else {
                throw .parameter("rule would never match protocol", word: argument)
            }
            return
        }
        rule.protocol = Invertible(number, inverted: inverted)
        transportName = resolver.protocolText(number)
    }

    private mutating func takeMatch(_ name: String) throws(CommandError) {
        guard !inverted else {
            throw .parameter(
                "unexpected ! flag before --match", word: "!",
                expected: "! before the option of the match")
        }
        guard let match = ExtensionTable.match(name) else {
            throw .unsupported("match", name, supported: ExtensionTable.supportedMatches)
        }
        loaded.append(Loaded(parser: match.init(), isTarget: false))
    }

    private mutating func takeJump(_ name: String) throws(CommandError) {
        try once(.jump, invertible: false)
        jump = try Self.targetName(name)
        if let target = ExtensionTable.target(name) {
            loaded.append(Loaded(parser: target.init(), isTarget: true))
        } else if ExtensionTable.foreignTargets.contains(name) {
            throw .unsupported("target", name, supported: ExtensionTable.supportedTargets)
        }
    }

    private static func targetName(_ name: String) throws(CommandError) -> String {
        guard !name.isEmpty else {
            throw .parameter("Invalid target name (too short)", word: "", expected: "a target")
        }
        guard name.utf8.count < 29 else {
            throw .parameter(
                "Invalid target name `\(name)' (28 chars max)", word: name,
                expected: "28 characters at most")
        }
        guard !name.contains(where: \.isWhitespace) else {
            throw .parameter("Invalid target name `\(name)'", word: name, expected: "no blanks")
        }
        return name
    }

    private mutating func takeTable(_ name: String) throws(CommandError) {
        guard !inverted else { throw .parameter("unexpected ! flag before --table", word: "!") }
        guard fileTable == nil else {
            throw .parameter(
                "The -t option cannot be used in iptables-restore.\n", word: "-t",
                expected: "a line *\(name) instead")
        }
        guard let found = TableName(rawValue: name) else {
            throw CommandError(
                .versioned, status: 3,
                "table '\(name)' does not exist\n"
                    + "Perhaps iptables or your kernel needs to be upgraded.", word: name,
                expected: "raw, mangle, nat or filter")
        }
        table = found
    }

    private mutating func takeCounters(_ argument: String) throws(CommandError) {
        try once(.counters, invertible: false)
        let packets: String
        let bytes: String
        if let comma = argument.firstIndex(of: ",") {
            packets = String(argument[..<comma])
            bytes = String(argument[argument.index(after: comma)...])
        } else if scanner.hasWord {
            packets = argument
            bytes = scanner.takeWord()
        } else {
            throw .parameter("-c requires packet and byte counter", word: argument)
        }
        guard let packetCount = CNumber.unsigned(packets, max: .max) else {
            throw .parameter(
                "-c packet counter not numeric", word: packets, expected: "a number of packets")
        }
        guard let byteCount = CNumber.unsigned(bytes, max: .max) else {
            throw .parameter(
                "-c byte counter not numeric", word: bytes, expected: "a number of bytes")
        }
        rule.counters = Counters(packets: packetCount, bytes: byteCount)
    }

    /// There is no lock to wait for: the daemon takes one command after the other.
    private mutating func takeWait(_ argument: String, given: Bool) throws(CommandError) {
        guard fileTable == nil else {
            throw .parameter("You cannot use `-w' from iptables-restore", word: "-w")
        }
        seen.insert(.wait)
        guard given || scanner.hasWord else { return }
        let seconds = given ? argument : scanner.takeWord()
        guard CNumber.unsigned(seconds, max: UInt64(Int32.max)) != nil else {
            throw .parameter(
                "wait seconds not numeric", word: seconds, expected: "a number of seconds")
        }
    }

    private mutating func takeWaitInterval(_ argument: String, given: Bool) throws(CommandError) {
        waitInterval = true
        warnings += "Ignoring deprecated --wait-interval option.\n"
        if !given, scanner.hasWord { _ = scanner.takeWord() }
    }

    // MARK: Commands

    private mutating func take(
        _ kind: RuleCommand.Kind, _ argument: String, given: Bool
    ) throws(CommandError) {
        guard !inverted else { throw .parameter("unexpected '!' flag", word: "!") }
        if kind == .zero, command?.kind == .list || command?.kind == .listRules {
            command?.alsoZero = true
            _ = try optionalChain(argument, given)
            return
        }
        var alsoZero = false
        if let earlier = command {
            guard earlier.kind == .zero, kind == .list || kind == .listRules else {
                throw .parameter(
                    "Cannot use -\(kind.letter) with -\(earlier.kind.letter)",
                    word: "-\(kind.letter)", expected: "one command at a time")
            }
            alsoZero = true
        }
        var new = RuleCommand(kind: kind)
        new.alsoZero = alsoZero
        new.chain = command?.chain
        try fill(&new, argument, given)
        command = new
    }

    private mutating func optionalChain(_ argument: String, _ given: Bool) throws(CommandError)
        -> String?
    {
        if given { return argument }
        return scanner.hasWord ? scanner.takeWord() : nil
    }

    private mutating func fill(
        _ new: inout RuleCommand, _ argument: String, _ given: Bool
    ) throws(CommandError) {
        switch new.kind {
        case .append, .check: new.chain = argument
        case .delete:
            new.chain = argument
            if scanner.hasWord {
                new.kind = .deleteNumber
                new.number = try ruleNumber()
            }
        case .insert:
            new.chain = argument
            new.number = scanner.hasWord ? try ruleNumber() : 1
        case .replace:
            new.chain = argument
            guard scanner.hasWord else {
                throw .parameter("-R requires a rule number", word: "-R")
            }
            new.number = try ruleNumber()
        case .list, .listRules:
            new.chain = try optionalChain(argument, given) ?? new.chain
            if new.chain != nil, scanner.hasWord { new.number = try ruleNumber() }
        case .flush, .deleteChain: new.chain = try optionalChain(argument, given)
        case .zero:
            new.chain = try optionalChain(argument, given)
            if new.chain != nil, scanner.hasWord {
                new.kind = .zeroNumber
                new.number = try ruleNumber()
            }
        case .newChain:
            try Self.checkNewName(argument)
            new.chain = argument
        case .renameChain:
            new.chain = argument
            guard scanner.hasWord else {
                throw .parameter("-E requires old-chain-name and new-chain-name", word: "-E")
            }
            new.newName = scanner.takeWord()
        case .policy:
            new.chain = argument
            guard scanner.hasWord else {
                throw .parameter("-P requires a chain and a policy", word: "-P")
            }
            new.policy = scanner.takeWord()
        case .deleteNumber, .zeroNumber: break
        }
    }

    private mutating func ruleNumber() throws(CommandError) -> Int {
        let word = scanner.takeWord()
        guard let number = CNumber.unsigned(word, max: UInt64(Int32.max)), number > 0 else {
            throw .parameter(
                "Invalid rule number `\(word)'", word: word, expected: "a number from 1")
        }
        return Int(number)
    }

    /// A chain may not look like an option, a `!` or a target.
    static func checkNewName(_ name: String) throws(CommandError) {
        if let first = name.first, first == "-" || first == "!" {
            throw .parameter(
                "chain name not allowed to start with `\(first)'", word: name,
                expected: "a name that begins with a letter or a digit")
        }
        guard !ExtensionTable.isTarget(name) else {
            throw .parameter(
                "chain name may not clash with target name", word: name,
                expected: "a name that no target has")
        }
        guard name.utf8.count < 29 else { throw chainTooLong(name) }
        // iptables takes a quote, and cannot load what it saves then.
        guard
            name.isPlainASCII
                || !name.unicodeScalars.contains(where: { $0.properties.isWhitespace || $0 == "\"" }
                )
        else {
            throw .parameter(
                "Invalid chain name `\(name)'", word: name, expected: "no blanks and no quotes")
        }
    }
}
