import Routing
import Testing
import Wire

@Suite struct NeighbourTableTests {
    private func update(
        _ number: UInt32, _ state: NeighbourState = .reachable, removed: Bool = false
    ) -> NeighbourUpdate {
        NeighbourUpdate(
            interface: InterfaceIndex(rawValue: 1 + number % 3),
            address: IPv4Address(rawValue: 0x0A00_0000 + number / 3),
            mac: state.isUsable ? MACAddress(rawValue: UInt64(number)) : nil, state: state,
            isRemoved: removed)
    }

    @Test("a MAC address is given out only in a state in which it may be used")
    func states() {
        var table = NeighbourTable(capacity: 8)
        let key = update(3)
        for (state, usable) in [
            (NeighbourState.incomplete, false), (.reachable, true), (.stale, true), (.probe, true),
            (.failed, false), (.permanent, true),
        ] {
            table.apply(update(3, state))
            let mac = table.mac(interface: key.interface, address: key.address)
            let entry = table.entry(interface: key.interface, address: key.address)
            #expect((mac != nil) == usable, "\(state)")
            #expect(entry?.state == state)
        }
        table.apply(update(3, removed: true))
        let gone = table.entry(interface: key.interface, address: key.address) == nil
        #expect(gone)
        #expect(table.count == 0)
    }

    @Test("a full table refuses new neighbours, counts them, and still updates known ones")
    func full() {
        var table = NeighbourTable(capacity: 4)
        var taken = (0..<6).map { table.apply(update(UInt32($0))) }
        #expect(taken == [true, true, true, true, false, false])
        #expect(table.refused == 2)
        taken = [
            table.apply(update(2, .failed)), table.apply(update(0, removed: true)),
            table.apply(update(4)),
        ]
        #expect(taken == [true, true, true])
        #expect(table.count == 4)
    }

    @Test("random insertions and deletions leave the same entries as a dictionary")
    func model() {
        let seed = UInt64.random(in: 1...1_000_000)
        print("neighbour table seed: \(seed)")
        var random = SeededRandom(seed: seed)
        var table = NeighbourTable(capacity: 64)
        var model: [UInt32: NeighbourState] = [:]
        for _ in 0..<20_000 {
            let number = UInt32.random(in: 0..<90, using: &random)
            if Bool.random(using: &random) {
                let state: NeighbourState = Bool.random(using: &random) ? .stale : .failed
                if table.apply(update(number, state)) { model[number] = state }
            } else {
                table.apply(update(number, removed: true))
                model[number] = nil
            }
        }
        #expect(table.count == model.count)
        for number in 0..<90 as Range<UInt32> {
            let key = update(number)
            let entry = table.entry(interface: key.interface, address: key.address)
            #expect(entry?.state == model[number], "seed \(seed), neighbour \(number)")
        }
        table.removeAll(on: InterfaceIndex(rawValue: 2))
        let left = table.entries.filter { $0.interface == InterfaceIndex(rawValue: 2) }
        #expect(left.isEmpty)
        #expect(table.count == model.keys.filter { $0 % 3 != 1 }.count)
    }
}
