import Mirror
import Testing

@Suite("A divergence")
struct DivergenceTests {
    @Test("names the packet it stands at")
    func packet() {
        #expect(Divergence.packet(3) != .packet(4))
        #expect(Divergence.packet(0) != .finalState)
    }
}
