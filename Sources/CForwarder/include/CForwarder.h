// The least that a forwarder in user space can do: it moves IPv4 frames between two interfaces with only
// their Ethernet addresses changed. What it reaches is what the sockets allow; `sluice bench` measures it beside Sluice.
#ifndef CFORWARDER_H
#define CFORWARDER_H

#include <stdint.h>

enum forwarder_mode {
    /// AF_PACKET: TPACKET_V2 slots of 2 KB with virtio headers in, sendmmsg out.
    FORWARDER_PACKET,
    /// AF_XDP: one umem for both interfaces, native copy mode, frames sent from the chunk they came in.
    FORWARDER_XDP,
};

struct forwarder_end {
    const char *interface;
    /// The Ethernet address to which frames leave by it, in the low 48 bits.
    uint64_t neighbour;
};

/// Forwards between two interfaces of the calling thread's network namespace until the process ends. The kernel
/// must not forward as well. Returns only if it cannot: a negative errno.
int forwarder_run(enum forwarder_mode mode, struct forwarder_end first, struct forwarder_end second);

#endif
