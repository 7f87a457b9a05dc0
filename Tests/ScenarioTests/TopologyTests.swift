import Scenario
import Testing
import Wire

@Suite("A link's address")
struct LinkAddressTests {
    @Test("reads as ip address takes it", arguments: ["10.0.0.1/24", "0.0.0.0/0", "192.0.2.7/32"])
    func roundTrip(text: String) {
        #expect(LinkAddress(text)?.description == text)
    }

    @Test(
        "is refused where it is not one",
        arguments: ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0/8", "10.0.0.1/08", "/8", ""])
    func refused(text: String) {
        #expect(LinkAddress(text) == nil)
    }
}
