import Testing
import Wire

@Suite("Interface names")
struct InterfaceNameTests {
    @Test("a name comes back as it was given")
    func roundTrip() throws {
        for text in ["lo", "eth0", "veth-red-br", "fifteen-bytes-x"] {
            #expect(try #require(InterfaceName(text)).description == text)
        }
    }

    @Test("a name is 1 to 15 bytes without a zero")
    func refusals() {
        #expect(InterfaceName("") == nil)
        #expect(InterfaceName("sixteen-bytes-xx") == nil)
        #expect(InterfaceName("a\0b") == nil)
    }

    @Test("an exact pattern matches that name alone, a wildcard every name that starts so")
    func patterns() throws {
        let eth1 = try #require(InterfaceName("eth1"))
        let eth10 = try #require(InterfaceName("eth10"))
        let exact = try #require(InterfacePattern("eth1", wildcard: false))
        #expect(exact.matches(eth1))
        #expect(!exact.matches(eth10))
        let prefix = try #require(InterfacePattern("eth1", wildcard: true))
        #expect(prefix.matches(eth1) && prefix.matches(eth10))
        #expect(!prefix.matches(try #require(InterfaceName("eth"))))
        #expect(try #require(InterfacePattern("", wildcard: true)).matches(InterfaceName()))
        let long = try #require(InterfacePattern("veth-red-b", wildcard: true))
        #expect(long.matches(try #require(InterfaceName("veth-red-br"))))
        #expect(!long.matches(try #require(InterfaceName("veth-red-a"))))
    }
}
