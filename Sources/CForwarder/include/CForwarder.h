// The least that a forwarder in user space can do: it moves IPv4 frames between two interfaces with only
// their Ethernet addresses changed. What it reaches is what the sockets allow; Sluice is measured against it.
#ifndef CFORWARDER_H
#define CFORWARDER_H

#include <stdint.h>

enum forwarder_mode {
    /// AF_PACKET: TPACKET_V2 slots of 2 KB with virtio headers in, sendmmsg out.
    FORWARDER_PACKET,
    /// AF_XDP: one umem for both interfaces, native copy mode, frames sent from the chunk they came in.
    FORWARDER_XDP,
};

struct forwarder_port {
    const char *interface;
    /// Frames to this address are taken; it becomes the source of what is sent here.
    uint8_t address[6];
    /// Where frames sent here go.
    uint8_t neighbour[6];
};

/// Forwards between the two interfaces, which are in the calling thread's network namespace, until
/// `*stop` is not 0. The kernel there must not forward as well (net.ipv4.ip_forward=0).
/// Returns 0, or the negative errno of what could not be set up.
int forwarder_run(const struct forwarder_port ports[2], enum forwarder_mode mode,
                  const volatile int *stop);

#endif
