// Which differences between two engines' packets count as none.

import Scenario
import Testing

@testable import Mirror

@Suite("Comparing what two engines sent")
struct OutcomeComparisonTests {
    private let injected = CasePacket(origin: .wire(link: "eth1"), bytes: ethernet + syn)

    @Test("an error of the node's own may have any identification, be it that of the packet")
    func chance() {
        let kernel = sent("45c00058acdd00004001b8ff0a0200010a020004030d112c00000000")
        let sluice = sent("45c00058393b000040012ca20a0200010a020004030d112c00000000")
        #expect(OutcomeComparison.agree(kernel, sluice, injected: injected))
        #expect(OutcomeComparison.agree(sluice, kernel, injected: injected))
        let wrongChecksum = sent("45c00058acdd00004001b8fe0a0200010a020004030d112c00000000")
        #expect(!OutcomeComparison.agree(wrongChecksum, sluice, injected: injected))
    }

    @Test("what is carried keeps its identification")
    func carried() {
        var other = syn
        other[5] ^= 1
        other[11] ^= 1
        let kernel = Outcome(emissions: [Emission(.wire(link: "eth0"), bytes: ethernet + syn)])
        let sluice = Outcome(emissions: [Emission(.wire(link: "eth0"), bytes: ethernet + other)])
        #expect(!OutcomeComparison.agree(kernel, sluice, injected: injected))
        #expect(!OutcomeComparison.agree(sluice, kernel, injected: injected))
        #expect(OutcomeComparison.agree(kernel, kernel, injected: injected))
    }

    /// An ICMP error about the SYN: its headers and what it quotes.
    private func sent(_ headers: String) -> Outcome {
        let bytes = ethernet + octets(headers) + syn
        return Outcome(emissions: [Emission(.wire(link: "eth1"), bytes: bytes)])
    }
}

private let ethernet = octets("0200000001040600000001010800")
private let syn = octets(
    "4500003cacdd4000400679d40a0200040a010004"
        + "d104ee480d62863f00000000a002ffff94770000020405b4040201010101080a35e6f16735e6f162")

private func octets(_ digits: String) -> [UInt8] {
    let values = digits.compactMap(\.hexDigitValue)
    return stride(from: 0, to: values.count, by: 2).map {
        UInt8(values[$0] << 4 | values[$0 + 1])
    }
}
