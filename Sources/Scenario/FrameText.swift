// Packets as text: hexadecimal bytes, one line per header, with what they are behind a '#'. A reader sees
// whom a packet is from; a program skips spaces and comments.

import Explain
import Wire

enum FrameText {
    /// A fault at a line and column of the text, both from 1.
    struct Fault: Error {
        var line: Int
        var column: Int
        var message: String
    }

    static func bytes(_ text: String) throws(Fault) -> [UInt8] {
        var bytes: [UInt8] = []
        var high: UInt8?
        var place = (line: 1, column: 0)
        var isComment = false
        for character in text {
            place.column += 1
            if character.isNewline {
                place = (place.line + 1, 0)
                isComment = false
            } else if isComment || character.isWhitespace {
                continue
            } else if character == "#" {
                isComment = true
            } else if character.isASCII, let digit = character.hexDigitValue {
                if let first = high {
                    bytes.append(first << 4 | UInt8(digit))
                    high = nil
                } else {
                    high = UInt8(digit)
                }
            } else {
                throw Fault(
                    line: place.line, column: place.column,
                    message: "expected hexadecimal digits, found '\(character)'")
            }
        }
        guard high == nil else {
            throw Fault(
                line: place.line, column: max(place.column, 1),
                message: "expected an even number of hexadecimal digits")
        }
        return bytes
    }

    /// - Parameter hasEthernet: whether an Ethernet header comes first.
    static func text(_ bytes: [UInt8], hasEthernet: Bool) -> String {
        let network = hasEthernet ? min(14, bytes.count) : 0
        var lines: [String] = []
        if network == 14 {
            let header = [bytes[0..<6], bytes[6..<12], bytes[12..<14]].map { hexadecimal($0) }
            lines.append(header.joined(separator: " ") + "  # Ethernet")
        } else if network > 0 {
            lines.append(hexadecimal(bytes[0..<network]))
        }
        var rest = bytes[network...]
        if let view = view(bytes, at: network) {
            lines.append(grouped(rest.prefix(view.headerLength)) + "  # \(view.summary)")
            rest = rest.dropFirst(view.headerLength)
        }
        while !rest.isEmpty {
            lines.append(grouped(rest.prefix(32)))
            rest = rest.dropFirst(32)
        }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func view(_ bytes: [UInt8], at offset: Int) -> PacketView? {
        guard offset == 0 || (offset == 14 && bytes[12..<14] == [8, 0]) else { return nil }
        return bytes.withRawSpan { span in
            guard case .packet(let view) = PacketView.parse(span, networkOffset: offset) else {
                return nil
            }
            return view
        }
    }

    private static func grouped(_ bytes: ArraySlice<UInt8>) -> String {
        stride(from: bytes.startIndex, to: bytes.endIndex, by: 4).map { start in
            hexadecimal(bytes[start..<min(start + 4, bytes.endIndex)])
        }.joined(separator: " ")
    }

    private static func hexadecimal(_ bytes: ArraySlice<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
