// The compiled programs of this directory as bytes. `swift build` compiles each *.bpf.c (Plugins/BuildBPF)
// and generates one `BPFObject` constant per file; the binary needs no file beside it.

/// A BPF object file in hexadecimal, as the build wrote it into the source.
public struct BPFObject: Sendable {
    public let name: String
    let text: StaticString

    /// The ELF image.
    public var bytes: [UInt8] {
        text.withUTF8Buffer { digits in
            (0..<digits.count / 2).map { index in
                unsafe Self.digit(digits[2 * index]) << 4 | Self.digit(digits[2 * index + 1])
            }
        }
    }

    private static func digit(_ character: UInt8) -> UInt8 {
        character < 0x3A ? character &- 0x30 : character &- 0x57
    }
}
