import Testing
import Wire

@Suite("Addresses in dotted decimal")
struct IPv4AddressTests {
    @Test(
        "four numbers from 0 to 255 of one to three digits, and nothing else",
        arguments: [
            ("10.0.0.1", 0x0A00_0001), ("255.255.255.255", 0xFFFF_FFFF), ("0.0.0.0", 0),
            ("001.02.3.004", 0x0102_0304), ("1.2.3", nil), ("1.2.3.4.", nil), ("1.2.3.4.5", nil),
            (".1.2.3.4", nil), ("1..2.3", nil), ("1.2.3.", nil), ("256.1.1.1", nil),
            ("1.2.3.256", nil),
            ("1.2.3.0004", nil), ("1.2.3.4 ", nil), ("1.2.3.x", nil), ("+1.2.3.4", nil), ("", nil),
        ] as [(String, UInt32?)])
    func text(_ text: String, _ value: UInt32?) {
        #expect(IPv4Address(text)?.rawValue == value)
        #expect(IPv4Address(Substring("<" + text).dropFirst())?.rawValue == value)
    }
}
