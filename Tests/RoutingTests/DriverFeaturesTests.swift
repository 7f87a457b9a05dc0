import NamespaceFixture
import Netlink
import Testing
import Wire

@Suite("What drivers do with XDP", .enabled(if: isRoot, needsRoot))
struct DriverFeaturesTests {
    @Test("is told of veths and bridges, and a veth takes frames while its other end does")
    func veth() throws {
        let namespace = try Namespace("drivers")
        try namespace.shell(
            """
            ip link add one type veth peer name other
            ip link add bridge type bridge
            ip link set one up
            ip link set other up
            """)
        try namespace.inside {
            let drivers = try DriverFeatures()
            func features(_ name: String) throws -> XDPFeatures {
                let text = try namespace.run("cat", "/sys/class/net/\(name)/ifindex")
                let index = try #require(UInt32(text.filter(\.isNumber)))
                return try drivers.features(of: InterfaceIndex(rawValue: index))
            }
            #expect(try features("bridge").isEmpty)
            #expect(try features("one").isSuperset(of: [.basic, .redirect]))
            #expect(try !features("one").contains(.transmit))
            _ = try drivers.haveChanged()
            #expect(try !drivers.haveChanged())
            try namespace.run("ethtool", "-K", "other", "gro", "on")
            #expect(try drivers.haveChanged())
            #expect(try features("one").contains(.transmit))
            #expect(try !features("other").contains(.transmit))
            try namespace.run("ethtool", "-K", "other", "gro", "off")
            #expect(try drivers.haveChanged())
            #expect(try !features("one").contains(.transmit))
            #expect(try drivers.features(of: InterfaceIndex(rawValue: 4711)).isEmpty)
        }
    }
}
