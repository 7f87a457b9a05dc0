// The node's own sockets, seen from the control thread: what the kernel must be told before their packets
// are led to the host port.

import PacketIO
import Routing
import Wire

extension Daemon {
    /// Takes the node's own packets over. Until then its sockets speak through the kernel.
    func takeHostPackets() throws(Refusal) {
        try loosenReversePathFilters()
        try refusing { () throws(PacketThreadFailure) in
            try packets.perform { node in node.leadHostPackets() }
        }
    }

    /// A strict filter asks which way the *node* would answer, and that is the host port now: it would
    /// refuse every packet and every ARP request. Sluice applies the filter itself, so that the
    /// kernel's may be loose.
    private func loosenReversePathFilters() throws(Refusal) {
        let strict = try refusing { () throws(PacketThreadFailure) in
            try packets.perform { node in node.interfacesWithStrictFilter() }
        }
        for (name, index) in strict {
            try refusing { () throws(PacketThreadFailure) in
                try packets.perform { node in node.keepReversePathFilter(1, on: index) }
            }
            try change("/proc/sys/net/ipv4/conf/\(name)/rp_filter", to: "2")
        }
    }
}

extension Node {
    func interfacesWithStrictFilter() -> [(String, InterfaceIndex)] {
        adopted.filter { $0.claim != nil && !$0.isLoopback }.compactMap { taken in
            let settings = mirror.snapshot.interface(taken.port.interface)?.settings
            return settings?.reversePathFilter == 1 ? (taken.name, taken.port.interface) : nil
        }
    }
}
