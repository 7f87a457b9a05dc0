// The little language of `sluice explain`: a packet in words, much as tcpdump prints one.
//
//     tcp 10.1.0.2:40000 > 10.1.0.1:8080 S
//     udp 10.1.0.2:5353 > 10.1.0.1:53 length 100 user 1000
//     icmp 10.1.0.2 > 10.1.0.1 echo id 7
//
// TCP flags are tcpdump's letters, without spaces: S F R P U, `.` for ACK, E and W for ECN.
// Pure: text in, a value or an error with its column out.

import Wire

public struct PacketDescription: Hashable, Sendable {
    public enum Transport: Hashable, Sendable {
        case tcp(source: Port, destination: Port, flags: TCPFlags)
        case udp(source: Port, destination: Port)
        case icmp(type: UInt8, identifier: UInt16)
    }

    public var source: IPv4Address
    public var destination: IPv4Address
    public var transport: Transport
    /// Bytes behind the transport header.
    public var payloadLength = 0
    public var timeToLive: UInt8 = 64
    public var typeOfService: UInt8 = 0
    public var mark: UInt32 = 0
    /// Of a packet of the node's own: the user whose socket sends it.
    public var userID: UInt32?
    /// The group of that socket.
    public var groupID: UInt32?
}

/// What is wrong with a description, where, and what would be right.
public struct PacketDescriptionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Counted from 1.
    public var column: Int
    /// `nil` at the end of the text.
    public var word: String?
    public var expected: String

    public var description: String {
        let found = word.map { "'\($0)'" } ?? "the end"
        return "column \(column): found \(found), expected \(expected)"
    }
}

extension PacketDescription {
    public init(parsing text: String) throws(PacketDescriptionError) {
        var words = WordReader(text)
        let kind = try words.next("tcp, udp or icmp")
        switch kind.text {
        case "tcp", "udp":
            let from = try Self.endpoint(words.next("SOURCE:PORT"))
            try words.require(">")
            let to = try Self.endpoint(words.next("DESTINATION:PORT"))
            (source, destination) = (from.address, to.address)
            if kind.text == "tcp" {
                let flags = try Self.flags(words.next("TCP flags such as S, S., ., P. or F."))
                transport = .tcp(source: from.port, destination: to.port, flags: flags)
            } else {
                transport = .udp(source: from.port, destination: to.port)
            }
        case "icmp":
            source = try Self.address(words.next("a source address"))
            try words.require(">")
            destination = try Self.address(words.next("a destination address"))
            let type = try words.next("echo or echo-reply")
            switch type.text {
            case "echo": transport = .icmp(type: 8, identifier: 1)
            case "echo-reply": transport = .icmp(type: 0, identifier: 1)
            default: throw type.unexpected("echo or echo-reply")
            }
        default: throw kind.unexpected("tcp, udp or icmp")
        }
        while let option = words.nextIfAny() { try parseOption(option, &words) }
    }

    private mutating func parseOption(
        _ option: WordReader.Word, _ words: inout WordReader
    ) throws(PacketDescriptionError) {
        switch option.text {
        case "length":
            payloadLength = try words.number("a payload length up to 1400 bytes", 0...1400)
        case "ttl": timeToLive = UInt8(try words.number("a time to live from 1 to 255", 1...255))
        case "tos": typeOfService = UInt8(try words.number("a TOS from 0 to 255", 0...255))
        case "mark":
            mark = UInt32(try words.number("a mark from 0 to 0xffffffff", 0...0xFFFF_FFFF))
        case "user":
            userID = UInt32(try words.number("a user from 0 to 4294967294", 0...4_294_967_294))
        case "group":
            groupID = UInt32(try words.number("a group from 0 to 4294967294", 0...4_294_967_294))
        case "id":
            guard case .icmp(let type, _) = transport else { fallthrough }
            let identifier = try words.number("an identifier from 0 to 65535", 0...65535)
            transport = .icmp(type: type, identifier: UInt16(identifier))
        default:
            throw option.unexpected("length, ttl, tos, mark, user, group, for icmp id, or the end")
        }
    }

    private static func address(_ word: WordReader.Word) throws(PacketDescriptionError)
        -> IPv4Address
    {
        guard let address = IPv4Address(word.text) else {
            throw word.unexpected("an address such as 10.0.0.1")
        }
        return address
    }

    private static func endpoint(_ word: WordReader.Word) throws(PacketDescriptionError)
        -> (address: IPv4Address, port: Port)
    {
        let parts = word.text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]) else {
            throw word.unexpected("an address and a port such as 10.0.0.1:80")
        }
        guard let port = UInt16(parts[1]) else {
            var place = word
            place.column += parts[0].count + 1
            place.text = String(parts[1])
            throw place.unexpected("a port from 0 to 65535")
        }
        return (address, Port(port))
    }

    private static func flags(_ word: WordReader.Word) throws(PacketDescriptionError) -> TCPFlags {
        var flags: TCPFlags = []
        for (offset, letter) in word.text.enumerated() {
            guard let bit = Self.flagLetters[letter] else {
                throw PacketDescriptionError(
                    column: word.column + offset, word: String(letter),
                    expected: "a TCP flag out of S F R P U . E W")
            }
            flags.formUnion(TCPFlags(rawValue: bit))
        }
        return flags
    }

    /// tcpdump's letters and the bits of RFC 9293, 3.1.
    private static let flagLetters: [Character: UInt8] = [
        "F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "U": 32, "E": 64, "W": 128,
    ]
}

/// Words and the columns they stand in.
struct WordReader {
    struct Word {
        var text: String
        var column: Int

        func unexpected(_ expectation: String) -> PacketDescriptionError {
            PacketDescriptionError(column: column, word: text, expected: expectation)
        }
    }

    private var words: [Word] = []
    private var position = 0
    private let end: Int

    init(_ text: String) {
        var word = ""
        var column = 1
        for character in text + " " {
            if character.isWhitespace {
                if !word.isEmpty { words.append(Word(text: word, column: column - word.count)) }
                word = ""
            } else {
                word.append(character)
            }
            column += 1
        }
        end = text.count + 1
    }

    mutating func nextIfAny() -> Word? {
        guard position < words.count else { return nil }
        position += 1
        return words[position - 1]
    }

    mutating func next(_ expectation: String) throws(PacketDescriptionError) -> Word {
        guard let word = nextIfAny() else {
            throw PacketDescriptionError(column: end, word: nil, expected: expectation)
        }
        return word
    }

    mutating func require(_ text: String) throws(PacketDescriptionError) {
        let word = try next("'\(text)'")
        guard word.text == text else { throw word.unexpected("'\(text)'") }
    }

    mutating func number(
        _ expectation: String, _ range: ClosedRange<Int>
    ) throws(PacketDescriptionError) -> Int {
        let word = try next(expectation)
        let value =
            word.text.hasPrefix("0x") ? Int(word.text.dropFirst(2), radix: 16) : Int(word.text)
        guard let value, range.contains(value) else { throw word.unexpected(expectation) }
        return value
    }
}
