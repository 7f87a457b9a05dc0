import Scenario
import Testing
import Wire

@testable import Mirror

@Suite("Shrinking a case")
struct ShrinkerTests {
    private let original = CaseGenerator.make(seed: 11, packets: 200)

    @Test(
        "two packets that it takes together are all that is left, and the earlier one is answered")
    func packets() throws {
        let number = try #require(
            original.packets.indices.last { original.packets[$0].answers != nil })
        let reply = original.packets[number].bytes
        let asked = original.packets[try #require(original.packets[number].answers)].bytes
        let shrunk = Shrinker.shrink(original) { candidate in
            guard let found = candidate.packets.firstIndex(where: { $0.bytes == reply }),
                let answered = candidate.packets[found].answers
            else { return false }
            return candidate.packets[answered].bytes == asked
        }
        #expect(shrunk.packets.map(\.bytes) == [asked, reply])
        #expect(shrunk.packets[1].answers == 0)
        #expect(shrunk.rules.isEmpty)
        #expect(shrunk.topology.routes.isEmpty && shrunk.topology.settings.isEmpty)
        #expect(shrunk.topology.links.isEmpty)
    }

    @Test("of a ruleset only the words that matter are left")
    func rules() {
        var big = original
        big.rules = """
            *nat
            :PREROUTING ACCEPT [0:0]
            -A PREROUTING -j REDIRECT
            COMMIT
            *filter
            :INPUT DROP [0:0]
            :FORWARD ACCEPT [0:0]
            :one - [0:0]
            :two - [0:0]
            -A FORWARD ! -s 10.0.0.1 -j one
            -A one -p tcp -m tcp ! --dport 80 -m comment --comment "a -j b" -j DROP
            -A two -j ACCEPT
            COMMIT

            """
        let shrunk = Shrinker.shrink(big) { candidate in
            candidate.rules.contains("-m tcp ! --dport 80")
                && candidate.rules.contains("-j one")
        }
        #expect(
            shrunk.rules == """
                *filter
                :INPUT ACCEPT [0:0]
                :FORWARD ACCEPT [0:0]
                :one - [0:0]
                -A FORWARD -j one
                -A one -m tcp ! --dport 80
                COMMIT

                """)
    }

    @Test("a setting, a route and a link stay where they are needed")
    func topology() throws {
        var big = original
        big.topology.settings["net.ipv4.ip_forward"] = "0"
        big.topology.routes.append("blackhole 10.99.0.0/16")
        let name = try #require(big.topology.links.last?.name)
        let shrunk = Shrinker.shrink(big) { candidate in
            candidate.topology.settings["net.ipv4.ip_forward"] == "0"
                && candidate.topology.routes.contains("blackhole 10.99.0.0/16")
                && candidate.topology.links.contains { $0.name == name }
        }
        #expect(shrunk.topology.settings == ["net.ipv4.ip_forward": "0"])
        #expect(shrunk.topology.routes == ["blackhole 10.99.0.0/16"])
        #expect(shrunk.topology.links.map(\.name) == [name])
        #expect(shrunk.packets.isEmpty)
    }

    @Test("a candidate that cannot be judged is passed over")
    func unjudged() {
        struct Refused: Error {}
        let shrunk = Shrinker.shrink(original) { candidate in
            if candidate.packets.count < 3 { throw Refused() }
            return true
        }
        #expect(shrunk.packets.count == 3)
    }
}
