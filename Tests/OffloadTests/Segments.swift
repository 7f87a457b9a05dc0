// Frames of one conversation, mostly sane, some of them anything but.

import FrameFixture
import Wire

enum Kind: CaseIterable {
    case tcp, udp, icmp

    var number: IPProtocol {
        switch self {
        case .tcp: .tcp
        case .udp: .udp
        case .icmp: .icmp
        }
    }
}

struct Conversation {
    /// The next sequence number of each end, by direction.
    var next: [UInt32]
    var clientPort: UInt16
    let kind: Kind
    let usesTimestamps: Bool
    let offersSACK: Bool

    init(_ kind: Kind, _ random: inout SeededRandom) {
        self.kind = kind
        next = [
            UInt32.random(in: 0 ... .max, using: &random), .random(in: 0 ... .max, using: &random),
        ]
        clientPort = .random(in: 1024...60000, using: &random)
        usesTimestamps = Bool.random(using: &random)
        offersSACK = Bool.random(using: &random)
    }
}

/// Addresses and ports of one direction as they arrive at the node.
struct Ends {
    var source: IPv4Address
    var destination: IPv4Address
    var sourcePort: UInt16
    var destinationPort: UInt16
    var target: MACAddress
    /// The server's answers.
    var isReply: Bool
}

struct Draft {
    var flags: TCPFlags = .ack
    var sequence: UInt32 = 0
    var acknowledgement: UInt32 = 0
    var window: UInt16 = 0x7000
    var options: [UInt8] = []
    var payload: [UInt8] = []
    var typeOfService: UInt8 = 0
    var timeToLive: UInt8 = 64
    var fragmentField: UInt16 = 0x4000
    var networkOptions: [UInt8] = []
    var breaksChecksum = false
    var hasNoChecksum = false
    var padding = 0
    /// ICMP's type, where it is not an echo's or its reply's.
    var queryType: UInt8?

    func frame(_ ends: Ends, _ kind: Kind) -> [UInt8] {
        var transport: [UInt8]
        func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
        func long(_ value: UInt32) -> [UInt8] {
            word(UInt16(value >> 16)) + word(UInt16(value & 0xFFFF))
        }
        let ports = word(ends.sourcePort) + word(ends.destinationPort)
        switch kind {
        case .tcp:
            transport =
                ports + long(sequence) + long(acknowledgement)
                + [UInt8((5 + options.count / 4) << 4), flags.rawValue] + word(window) + [
                    0, 0, 0, 0,
                ]
                + options + payload
        case .udp:
            transport = ports + word(UInt16(8 + payload.count)) + [0, 0] + payload
        case .icmp:
            let type = queryType ?? (ends.isReply ? 0 : 8)
            transport =
                [type, 0, 0, 0] + word(ends.isReply ? ends.destinationPort : ends.sourcePort)
                + word(UInt16(truncatingIfNeeded: sequence)) + payload
        }
        let field = kind == .tcp ? 16 : kind == .udp ? 6 : 2
        if !hasNoChecksum || kind != .udp {
            var sum = InternetChecksum()
            if kind != .icmp {
                sum.addPseudoHeader(
                    source: ends.source, destination: ends.destination, protocol: kind.number,
                    length: transport.count)
            }
            sum.add(transport.span.bytes, 0..<transport.count)
            var value = sum.complemented
            if kind == .udp, value == 0 { value = 0xFFFF }
            if breaksChecksum { value = value == 0x1234 ? 0x1235 : 0x1234 }
            transport[field] = UInt8(value >> 8)
            transport[field + 1] = UInt8(value & 255)
        }
        var frame = TestFrame()
        frame.source = ends.source
        frame.destination = ends.destination
        frame.protocol = kind.number
        frame.typeOfService = typeOfService
        frame.timeToLive = timeToLive
        frame.fragmentField = fragmentField
        frame.options = networkOptions
        frame.payload = transport
        frame.targetMAC = ends.target
        return frame.bytes + [UInt8](repeating: 0xEE, count: padding)
    }
}

extension Conversation {
    /// Another packet in `direction` (0 is the client's), and whether it ends the conversation if it is believed.
    mutating func draw(_ direction: Int, _ random: inout SeededRandom) -> Draft {
        var draft = Draft()
        let length = Bool.random(using: &random) ? 0 : Int.random(in: 1...1300, using: &random)
        draft.payload = (0..<length).map { _ in .random(in: 0 ... .max, using: &random) }
        draft.window = .random(in: 200 ... .max, using: &random)
        draft.sequence = next[direction]
        draft.acknowledgement = next[1 - direction]
        if usesTimestamps { draft.options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8] }
        if Int.random(in: 0..<4, using: &random) == 0 { spoil(&draft, direction, &random) }
        if kind == .tcp, draft.sequence == next[direction],
            draft.flags.intersection([.syn, .rst]).isEmpty
        {
            next[direction] &+= UInt32(length) &+ (draft.flags.contains(.fin) ? 1 : 0)
        }
        return draft
    }

    private func spoil(_ draft: inout Draft, _ direction: Int, _ random: inout SeededRandom) {
        switch Int.random(in: 0..<24, using: &random) {
        case 0: draft.sequence &-= UInt32.random(in: 1...5000, using: &random)
        case 1: draft.sequence &+= UInt32.random(in: 1...200_000, using: &random)
        case 2: draft.sequence = .random(in: 0 ... .max, using: &random)
        case 3: draft.acknowledgement &-= UInt32.random(in: 1...2_000_000, using: &random)
        case 4: draft.acknowledgement &+= UInt32.random(in: 1...100_000, using: &random)
        case 5: draft.typeOfService = [0x10, 0x08, 0xB8, 0x03].randomElement(using: &random)!
        case 6: draft.timeToLive = .random(in: 0...3, using: &random)
        case 7: draft.fragmentField = [0, 0x2000, 0x4000, 0x0001].randomElement(using: &random)!
        case 8: draft.networkOptions = [1, 1, 1, 1]
        case 9: draft.breaksChecksum = true
        case 10: draft.hasNoChecksum = true
        case 11: draft.padding = .random(in: 1...20, using: &random)
        case 12:
            draft.flags = [.ack, .psh, .ece, .cwr]
            draft.queryType = [0, 8, 13, 14].randomElement(using: &random)!
        case 13: draft.flags = [.ack, .urg]
        case 14:
            draft.flags = [.rst, .ack]
            draft.sequence &+= .random(in: 1...40_000, using: &random)
        case 15: draft.flags = [.fin, .ack]
        case 16: draft.flags = .syn
        case 17: draft.flags = []
        case 18: draft.window = [0, 1].randomElement(using: &random)!
        case 19:
            draft.payload = [UInt8](
                repeating: 7, count: .random(in: 1340...1460, using: &random))
        case 20:
            let edge = next[1 - direction] &+ .random(in: 0...3000, using: &random)
            draft.options += Self.selective(draft.acknowledgement, edge)
        case 21:
            draft.options +=
                Self.selective(
                    draft.acknowledgement, next[1 - direction] &- 10) + [1, 1, 1, 1]
        case 22: draft.options = [5, 10, 0, 0, 0, 1, 0, 0, 0, 9, 1, 1]
        default:
            if Int.random(in: 0..<4, using: &random) == 0 { draft.flags = [.rst, .ack] }
        }
    }

    /// A SACK option with one block.
    private static func selective(_ left: UInt32, _ right: UInt32) -> [UInt8] {
        [1, 1, 5, 10]
            + [left, right].flatMap { value in
                (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32($0))) }
            }
    }
}
