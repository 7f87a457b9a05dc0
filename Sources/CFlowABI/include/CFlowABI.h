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

// Established flows that the programs in the kernel carry without the daemon (Sources/Offload, bpf/offload.bpf.c).

/// What tells a flow's packets from others where they arrive: big endian but for `interface` and `protocol`.
struct sluice_flow_key {
    uint32_t interface;
    uint32_t source;
    uint32_t destination;
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t protocol;
};

/// One end's window, as connection tracking keeps it.
struct sluice_flow_end {
    uint32_t end;
    uint32_t max_end;
    uint32_t max_window;
    uint32_t max_ack;
    uint8_t scale;
    /// IP_CT_TCP_FLAG_*.
    uint8_t flags;
    uint16_t unused;
};

#define SLUICE_END_SACK_PERMITTED 0x02
#define SLUICE_END_DATA_UNACKNOWLEDGED 0x10
#define SLUICE_END_HIGHEST_ACK_KNOWN 0x20

/// What a key leads to.
struct sluice_flow_name {
    /// The flow's number twice plus the direction; 0 is none.
    uint32_t which;
    /// That of the way: a number is used again for other connections.
    uint32_t generation;
};

/// What becomes of the packets of one direction, in a cache line. Addresses and ports are big endian.
struct sluice_flow_way {
    uint32_t generation;
    uint32_t egress;
    uint32_t new_source;
    uint32_t new_destination;
    uint16_t new_source_port;
    uint16_t new_destination_port;
    /// What the rewriting adds to a one's complement sum, in the byte order of the packet.
    uint16_t address_difference;
    uint16_t port_difference;
    uint8_t target_mac[6];
    uint8_t source_mac[6];
    uint32_t mtu;
    uint8_t type_of_service;
    /// SLUICE_WAY_*.
    uint8_t flags;
    uint16_t unused;
    /// Since they were last collected; IP total lengths.
    uint64_t packets;
    uint64_t bytes;
};

/// Packets may go this way.
#define SLUICE_WAY_OPEN 0x01
/// The other end of the egress, a veth, is in another network namespace.
#define SLUICE_WAY_PEER 0x02
#define SLUICE_WAY_NEW_ADDRESSES 0x04
#define SLUICE_WAY_NEW_PORTS 0x08
/// The egress takes frames from XDP.
#define SLUICE_WAY_XDP 0x10

/// A connection that is carried: an element of an array that both sides map. Whoever holds it (`owner`) may
/// read and write the rest. Four cache lines: what every packet needs, a way for each direction, TCP's window.
struct sluice_flow {
    uint32_t owner;
    /// The rules and routes that the ways come from.
    uint32_t snapshot;
    uint64_t last_seen_ns;
    /// From then on, and after being idle for as long, a packet is the daemon's.
    uint64_t until_ns;
    uint64_t idle_ns;
    uint64_t unused[4];
    // 0 is the original direction, 1 the reply direction.
    struct sluice_flow_way ways[2];
    // TCP only.
    struct sluice_flow_end ends[2];
    uint32_t last_sequence;
    uint32_t last_ack;
    uint32_t last_end;
    uint16_t last_window;
    uint8_t last_direction;
    uint8_t retransmissions;
    uint64_t unused_either;
};

_Static_assert(sizeof(struct sluice_flow_way) == 64, "a way is a cache line");
_Static_assert(sizeof(struct sluice_flow) == 256, "a flow is four cache lines");

#define SLUICE_FLOW_FREE 0u
/// A program works on it, for some nanoseconds.
#define SLUICE_FLOW_BUSY 1u
/// The daemon has it: its packets go there.
#define SLUICE_FLOW_DAEMON 2u

/// The one value of the control map.
struct sluice_offload_control {
    /// Flows of any other are stale.
    uint32_t snapshot;
    uint32_t verifies_checksums;
    /// All packets go to the daemon.
    uint32_t is_suspended;
    uint32_t unused;
};

/// What the tap decided about the frame that the claim sees next on this CPU.
struct sluice_handoff {
    /// A flow's number twice plus the direction; 0 is none.
    uint32_t which;
    uint32_t interface;
    uint32_t length;
    uint32_t unused;
};

/// The mark of a frame that was to be carried and is not: the tap takes it, whatever else it knows.
#define SLUICE_HANDBACK_MARK 0x51ce0002u

/// Counters of the offload on one interface; each CPU has its own copy.
struct sluice_offload_counters {
    uint64_t carried;
    /// Frames that were taken for carried ones and went to the daemon after all.
    uint64_t handed_back;
    /// Frames lost because the kernel had no memory to change them.
    uint64_t failed;
};

/// What the XDP program that carries flows knows of its interface.
struct sluice_carry_settings {
    /// Its Ethernet address, as it lies in a frame. Zero, or an old one, leaves frames to tap and tc ingress.
    uint16_t address[3];
};

/// What the XDP program that carries flows keeps on each CPU.
struct sluice_carry_state {
    struct sluice_offload_counters counters;
    /// The clock of packets: read once a jiffy, since reading it costs a tenth of carrying a packet. The kernel's own
    /// timeouts are as coarse.
    uint64_t jiffies;
    uint64_t time_ns;
};

/// Queues of an interface that get an AF_XDP socket each; the frames of others go to the tap.
#define SLUICE_DIVERT_QUEUES 8

/// What the program that diverts to AF_XDP sockets goes by; written while it runs. A torn or old value sends
/// a frame to the tap, or one to Sluice that it drops as not the node's.
struct sluice_divert_settings {
    /// The interface's Ethernet address, as it lies in a frame.
    uint16_t address[3];
    /// The longest frame that fits a socket's buffers, in bytes.
    uint16_t largest;
    /// The program runs on socket buffers (generic mode).
    uint8_t is_generic;
    /// TCP goes to the tap. Where some of a connection's segments are too long for a socket the others must
    /// not overtake them.
    uint8_t leaves_tcp;
};

// The frames of a benchmark (bpf/load.bpf.c).

/// Marks them, behind their UDP header.
#define SLUICE_LOAD_MAGIC 0x51ce10adu
/// How many delays are kept: those of the last frames. A power of two.
#define SLUICE_LOAD_DELAYS 65536u

/// What is sent, and what has been: written by user space while nothing runs.
struct sluice_load {
    /// Ethernet, IPv4, UDP; ports are written for each frame.
    uint8_t headers[42];
    /// The lowest destination port, host byte order; flows above 32,768 take the next ones.
    uint16_t port;
    /// A power of two; they take turns.
    uint32_t flows;
    /// From the first frame on one in each 1/1024 of so many nanoseconds; 0 is as fast as can be.
    uint64_t interval;
    /// No more than so many.
    uint64_t count;
    uint64_t sent;
    /// When the first and the last of these left.
    uint64_t first_ns;
    uint64_t last_ns;
    /// The first ones, by number, are answered.
    uint64_t answered;
    /// What a frame has that arrives; big endian.
    uint32_t expected_source;
    uint32_t expected_destination;
};

struct sluice_receipt {
    uint64_t frames;
    /// Of these, with the addresses that they should have.
    uint64_t expected;
};
