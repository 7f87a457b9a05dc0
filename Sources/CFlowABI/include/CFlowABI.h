// What user space and bpf/ share: the only definition of it. Plain integers and fixed layouts; both
// sides include this very file.
#pragma once

#ifdef __bpf__
#include <linux/types.h>
typedef __u8 uint8_t;
typedef __u16 uint16_t;
typedef __u32 uint32_t;
typedef __u64 uint64_t;
#else
#include <stdint.h>
#endif

/// The socket mark of everything that Sluice itself sends: tap and claim let it pass. The claim clears
/// it, so the kernel's policy rules, which may look at a bit of the mark, never see it.
#define SLUICE_MARK 0x51ce0001u

/// How old the daemon's heartbeat may be before the programs stand aside.
#define SLUICE_HEARTBEAT_LIMIT_NS 1000000000ull

/// The one value of the heartbeat map: CLOCK_MONOTONIC in nanoseconds, written by the worker itself, so
/// that a worker that hangs is as good as dead. Zero means never.
struct sluice_heartbeat {
    uint64_t beat_ns;
};

/// Counters of the programs on one interface; each CPU has its own copy.
struct sluice_claim_counters {
    /// Frames kept from the kernel's IP layer because the tap has them.
    uint64_t claimed;
    /// Frames that Sluice itself sent and that pass to the kernel.
    uint64_t own;
    /// Frames that would have been claimed, but the heartbeat was stale.
    uint64_t stale;
};

// The host port `sluice0` carries beside each packet what its Ethernet addresses, which nobody needs on a
// device without a link, have room for.

/// User and group where there is no socket, or one that belongs to nobody any more. The kernel keeps the
/// number for that, too.
#define SLUICE_NOBODY 0xFFFFFFFFu

/// Outwards, in place of both Ethernet addresses: whose packet it is; big endian.
struct sluice_host_sender {
    uint32_t mark;
    uint32_t user;
    uint32_t group;
};

/// Inwards, source address: the index of the interface on which the packet is to appear.
#define SLUICE_MAC_INTERFACE 0x0259u

/// An Ethernet address that means something; big endian.
struct sluice_mac_field {
    uint16_t kind;
    uint32_t value;
} __attribute__((packed));

/// Counters of the host port's programs; each CPU has its own copy.
struct sluice_host_counters {
    /// Packets handed to the interface on which they were to appear.
    uint64_t delivered;
    /// Packets of the host that took the kernel's own way because the heartbeat was stale.
    uint64_t rerouted;
    /// Frames that are not IPv4 or carry no interface.
    uint64_t discarded;
};
