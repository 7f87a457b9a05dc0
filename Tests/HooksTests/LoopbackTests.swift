import NodeFixture
import Ruleset
import Testing

@Suite("Which rulesets concern the loopback")
struct LoopbackTests {
    func meets(
        _ table: TableName, _ chain: String, _ change: @escaping (inout Rule) -> Void = { _ in }
    ) -> Bool {
        Node { $0.add(table, chain, .accept, change: change) }.ruleset.mayMeetLoopback
    }

    @Test("FORWARD alone does not, whatever its rules and policy")
    func forward() {
        #expect(!Node { $0.policy(.filter, "FORWARD", .drop) }.ruleset.mayMeetLoopback)
        #expect(!meets(.filter, "FORWARD"))
    }

    @Test("a policy of DROP on INPUT or OUTPUT does")
    func policy() {
        #expect(Node { $0.policy(.filter, "INPUT", .drop) }.ruleset.mayMeetLoopback)
        #expect(Node { $0.policy(.filter, "OUTPUT", .drop) }.ruleset.mayMeetLoopback)
    }

    @Test("a rule does unless its interface cannot be lo")
    func interfaces() {
        #expect(meets(.filter, "INPUT"))
        #expect(!meets(.nat, "PREROUTING") { $0.inInterface = InterfaceMatch(name: "eth0") })
        #expect(meets(.nat, "PREROUTING") { $0.inInterface = InterfaceMatch(name: "lo") })
        #expect(
            meets(.nat, "POSTROUTING") {
                $0.outInterface = InterfaceMatch(name: "eth0", inverted: true)
            })
        #expect(
            meets(.filter, "OUTPUT") {
                $0.outInterface = InterfaceMatch(name: "l", wildcard: true)
            })
        #expect(!meets(.nat, "POSTROUTING") { $0.outInterface = InterfaceMatch(name: "br0") })
    }

    @Test("a user chain counts by the rule that leads to it")
    func userChains() {
        #expect(!Node { $0.add(.filter, "OWN", .drop) }.ruleset.mayMeetLoopback)
    }
}
