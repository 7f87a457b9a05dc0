// What valgrind counts for `Scripts/count-instructions`: a fixed number of packets, and nothing beside them.

import CAllocationCount
import Conntrack
import Dataplane
import Hooks

/// Instructions are collected within this function alone, by its name.
@inline(never)
func counted(_ body: () -> Void) {
    body()
}

/// Runs a hundred batches and prints how many packets they were.
///
/// Established packets are received, tracked, translated and sent, and made anew by the port; first packets open
/// a connection to one of `services`.
func runCounted(services: Int?) {
    let batches = 100
    let before: UInt64
    if let services {
        let newcomers = Newcomers(services: services)
        newcomers.open()
        newcomers.forget()
        before = sluice_allocation_count()
        for _ in 0..<batches {
            counted { newcomers.open() }
            newcomers.forget()
        }
    } else {
        let gateway = Gateway(connections: 1000)
        let bank = FrameBank(gateway.frames)
        let dataplane = gatewayDataplane(gateway.engine, bank)
        for _ in 0...bank.count / batch { dataplane.step(now: start) }
        before = sluice_allocation_count()
        counted { for _ in 0..<batches { dataplane.step(now: start) } }
    }
    precondition(sluice_allocation_count() == before, "nothing is allocated for a packet")
    print(batches * batch)
}
