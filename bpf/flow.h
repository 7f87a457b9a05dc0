// A carried flow: who owns it, whether a packet is one of its own, and TCP's window.
//
// Nothing here decides what becomes of a packet that does not fit: that is the daemon's. So every test is
// whether a packet *provably* is one that connection tracking would find in window, and that would go the
// stored way.
#pragma once

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "heartbeat.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    // The daemon says how many.
    __uint(max_entries, 2);
    __type(key, struct sluice_flow_key);
    __type(value, struct sluice_flow_name);
} flow_keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_offload_control);
} control SEC(".maps");

// Room to add up a packet's payload in, and for up to three bytes of padding.
#define SCRATCH 16384

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u8[SCRATCH]);
} scratch SEC(".maps");

static __always_inline struct sluice_offload_control *current_control(void) {
    __u32 zero = 0;
    return bpf_map_lookup_elem(&control, &zero);
}

// How often a program looks whether another one is done with a flow: some microseconds.
#define PATIENCE 256

static __always_inline bool take(struct sluice_flow *flow) {
    for (int i = 0; i < PATIENCE; i++) {
        __u32 owner = __sync_val_compare_and_swap(&flow->owner, SLUICE_FLOW_FREE, SLUICE_FLOW_BUSY);
        if (owner == SLUICE_FLOW_FREE)
            return true;
        if (owner == SLUICE_FLOW_DAEMON)
            return false;
    }
    return false;
}

static __always_inline void give(struct sluice_flow *flow) {
    // A full barrier, as the taking was.
    __sync_lock_test_and_set(&flow->owner, SLUICE_FLOW_FREE);
}

// What is compared, all in the byte order of this machine.
struct segment {
    __u32 sequence;
    __u32 end;
    __u32 ack;
    // The right edge of the highest SACK block, else `ack`; only where `knows_sack`.
    __u32 sack;
    bool knows_sack;
    __u16 window;
};

static __always_inline bool is_before(__u32 a, __u32 b) { return (__s32)(a - b) < 0; }
static __always_inline bool is_after(__u32 a, __u32 b) { return is_before(b, a); }

// The four predicates of connection tracking (Sources/Conntrack/TCPTracking+Window.swift), for a segment with
// ACK and neither SYN, FIN nor RST in ESTABLISHED. `false`, and nothing has changed, where one fails.
static __always_inline bool follow_window(struct sluice_flow *flow, __u32 direction,
                                          const struct segment *segment) {
    struct sluice_flow_end *sender = &flow->ends[direction & 1];
    struct sluice_flow_end *receiver = &flow->ends[(direction & 1) ^ 1];
    __u32 ack = segment->ack, sack = ack;
    if (receiver->flags & SLUICE_END_SACK_PERMITTED) {
        if (!segment->knows_sack)
            return false;
        sack = segment->sack;
    }
    __u32 ack_window = sender->max_window > 66000 ? sender->max_window : 66000;
    if (!is_before(segment->sequence, sender->max_end + 1) || !is_before(sack, receiver->end + 1) ||
        !is_after(segment->end, sender->end - receiver->max_window - 1) ||
        !is_after(sack, receiver->end - ack_window - 1))
        return false;
    __u32 window = (__u32)segment->window << (sender->scale & 31);
    __u32 offered = window + (sack - ack);
    if (offered > sender->max_window)
        sender->max_window = offered;
    if (is_after(segment->end, sender->end)) {
        sender->end = segment->end;
        sender->flags |= SLUICE_END_DATA_UNACKNOWLEDGED;
    }
    if (!(sender->flags & SLUICE_END_HIGHEST_ACK_KNOWN) || is_after(ack, sender->max_ack))
        sender->max_ack = ack;
    sender->flags |= SLUICE_END_HIGHEST_ACK_KNOWN;
    if (is_after(segment->end, sender->max_end))
        receiver->max_window += segment->end - sender->max_end;
    if (is_after(sack + window, receiver->max_end - 1))
        receiver->max_end = sack + (window ? window : 1);
    if (ack == receiver->end)
        receiver->flags &= ~SLUICE_END_DATA_UNACKNOWLEDGED;
    if (flow->last_direction == direction && flow->last_sequence == segment->sequence &&
        flow->last_ack == ack && flow->last_end == segment->end &&
        flow->last_window == segment->window) {
        flow->retransmissions++;
        return true;
    }
    flow->last_direction = direction;
    flow->last_sequence = segment->sequence;
    flow->last_ack = ack;
    flow->last_end = segment->end;
    flow->last_window = segment->window;
    flow->retransmissions = 0;
    return true;
}

// TCP's flags beside PSH, ECE and CWR, which go with everything; ACK alone is plain.
#define JUDGED_FLAGS 0x37
#define ONLY_ACK 0x10

// The options behind a TCP header of 20 bytes: none, a timestamp, SACK blocks, or both, laid out as RFC 7323's
// appendix A has it and as everybody does. Anything else stays unknown.
static __always_inline void read_options(const __u8 *options, const void *data_end, __u32 length,
                                         struct segment *segment) {
    segment->sack = segment->ack;
    segment->knows_sack = true;
    if (!length)
        return;
    segment->knows_sack = false;
    if ((void *)(options + 4) > data_end)
        return;
    const __u8 *blocks = options;
    __u32 left = length;
    if (*(__u32 *)blocks == bpf_htonl(0x0101080A) && left >= 12) {
        segment->knows_sack = left == 12;
        if (left < 16 || (void *)(options + 16) > data_end)
            return;
        blocks += 12;
        left -= 12;
    }
    if (blocks[0] != 1 || blocks[1] != 1 || blocks[2] != 5 || blocks[3] + 2u != left || left < 12 ||
        (left - 4) % 8)
        return;
    for (__u32 i = 0; i < 4; i++) {
        if (4 + 8 * i >= left)
            break;
        if ((void *)(blocks + 12 + 8 * i) > data_end)
            return;
        __u32 edge = bpf_ntohl(*(__u32 *)(blocks + 8 + 8 * i));
        if (is_after(edge, segment->sack))
            segment->sack = edge;
    }
    segment->knows_sack = true;
}

// The IPv4 header's sum is right.
static __always_inline bool header_adds_up(const struct iphdr *ip) {
    const __u16 *words = (const __u16 *)ip;
    __u32 sum = 0;
#pragma unroll
    for (int i = 0; i < 10; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

// A packet as far as it can be judged without its flow.
struct plain_packet {
    struct sluice_flow_key key;
    // IPv4 total length; the same, or what each segment of a super-frame comes to.
    __u32 length;
    __u32 largest;
    __u8 type_of_service;
    bool dont_fragment;
    bool is_tcp;
    bool is_icmp;
    struct segment segment;
};

// Echo or echo reply (RFC 792).
static __always_inline bool is_echo(__u8 type) { return type == 8 || type == 0; }

// Reads a packet whose headers lie between `data` and `data_end`. `false` where they do not, and where it is none that
// is carried: neither UDP, nor an echo or its reply, nor a TCP segment that is plain. `gso_size` is 0 for all but
// super-frames.
static __always_inline bool read_plain(void *data, void *data_end, __u32 frame_length,
                                       __u32 gso_size, struct plain_packet *packet) {
    struct iphdr *ip = data + ETH_HLEN;
    if ((void *)ip + 28 > data_end)
        return false;
    if (*(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)) || ip->ttl <= 1 ||
        !header_adds_up(ip))
        return false;
    packet->length = bpf_ntohs(ip->tot_len);
    if (packet->length < 28 || packet->length + ETH_HLEN > frame_length)
        return false;
    packet->largest = packet->length;
    packet->type_of_service = ip->tos;
    packet->key.source = ip->saddr;
    packet->key.destination = ip->daddr;
    packet->key.protocol = ip->protocol;
    packet->is_icmp = ip->protocol == IPPROTO_ICMP;
    if (packet->is_icmp) {
        // Type and code stand for one port, the identifier for the other.
        __u8 *icmp = (void *)ip + 20;
        packet->key.source_port = *(__u16 *)(icmp + 4);
        packet->key.destination_port = *(__u16 *)icmp;
        packet->is_tcp = false;
        return !gso_size && is_echo(icmp[0]);
    }
    if (ip->protocol == IPPROTO_UDP) {
        struct udphdr *udp = (void *)ip + 20;
        __u32 length = bpf_ntohs(udp->len);
        packet->key.source_port = udp->source;
        packet->key.destination_port = udp->dest;
        packet->is_tcp = false;
        return !gso_size && length >= 8 && length <= packet->length - 20;
    }
    struct tcphdr *tcp = (void *)ip + 20;
    if (ip->protocol != IPPROTO_TCP || (void *)tcp + 20 > data_end)
        return false;
    packet->is_tcp = true;
    packet->key.source_port = tcp->source;
    packet->key.destination_port = tcp->dest;
    __u32 header = tcp->doff * 4;
    if (header < 20 || header + 20 > packet->length ||
        (((__u8 *)tcp)[13] & JUDGED_FLAGS) != ONLY_ACK)
        return false;
    if (gso_size)
        packet->largest = 20 + header + gso_size;
    packet->segment.sequence = bpf_ntohl(tcp->seq);
    packet->segment.end = packet->segment.sequence + packet->length - 20 - header;
    packet->segment.ack = bpf_ntohl(tcp->ack_seq);
    packet->segment.window = bpf_ntohs(tcp->window);
    read_options((void *)tcp + 20, data_end, header - 20, &packet->segment);
    return true;
}

// The flow and direction that a packet seems to belong to; `which` is 0 for none. Nothing is taken: what is found may
// have changed when it is.
static __always_inline struct sluice_flow_name seem(const struct sluice_flow_key *key,
                                                    __u8 type_of_service, __u32 largest,
                                                    __u8 flags) {
    struct sluice_flow_name none = {0, 0};
    struct sluice_offload_control *now = current_control();
    if (!now || *(volatile __u32 *)&now->is_suspended)
        return none;
    struct sluice_flow_name *found = bpf_map_lookup_elem(&flow_keys, key);
    if (!found)
        return none;
    // An element that is replaced is another one.
    struct sluice_flow_name name = *found;
    __u32 number = name.which >> 1;
    volatile struct sluice_flow *flow = bpf_map_lookup_elem(&flows, &number);
    if (!flow || flow->owner == SLUICE_FLOW_DAEMON || flow->snapshot != now->snapshot)
        return none;
    volatile struct sluice_flow_way *way = &flow->ways[name.which & 1];
    if ((way->flags & flags) != flags || way->type_of_service != type_of_service ||
        way->mtu < largest)
        return none;
    return name;
}

// Whether the transport checksum is right; `false` also where that cannot be told. `load` reads from the frame.
static __always_inline bool transport_adds_up(void *context,
                                              long (*load)(void *, __u32, void *, __u32),
                                              const struct plain_packet *packet) {
    __u32 zero = 0;
    __u8 *bytes = bpf_map_lookup_elem(&scratch, &zero);
    if (!bytes)
        return false;
    __u32 length = packet->length - 20;
    if (length < 8 || length > SCRATCH - 4)
        return false;
    // In the verifier's sight, which forgets what it knew of a value that went through memory.
    asm volatile("" : "+r"(length));
    if (length < 8 || length > SCRATCH - 4)
        return false;
    if (load(context, ETH_HLEN + 20, bytes, length) < 0)
        return false;
    if (!packet->is_tcp && !packet->is_icmp && !*(__u16 *)(bytes + 6))
        return true;
    bytes[length] = 0;
    bytes[length + 1] = 0;
    bytes[length + 2] = 0;
    struct {
        __be32 source, destination;
        __be16 protocol, length;
    } pseudo = {packet->key.source, packet->key.destination, bpf_htons(packet->key.protocol),
                bpf_htons(length)};
    __s64 sum =
        packet->is_icmp ? 0 : bpf_csum_diff(0, 0, (__be32 *)&pseudo, sizeof pseudo, 0);
    if (sum < 0)
        return false;
    __u32 padded = (length + 3) & ~3u;
    if (padded > SCRATCH)
        return false;
    sum = bpf_csum_diff(0, 0, (__be32 *)bytes, padded, sum);
    // An older kernel adds up 512 bytes at most.
    if (sum < 0)
        return false;
    __u32 folded = (sum & 0xffff) + ((__u32)sum >> 16);
    folded = (folded & 0xffff) + (folded >> 16);
    return folded == 0xffff;
}

// What is done to a packet, out of the flow's reach.
struct rewriting {
    __u32 source, destination;
    __u16 source_port, destination_port;
    __u32 egress;
    __u16 address_difference, port_difference;
    __u8 macs[12];
    __u8 flags;
    bool is_icmp;
};

// Where the transport's checksum lies in a frame.
static __always_inline __u32 checksum_offset(const struct plain_packet *packet) {
    return ETH_HLEN + 20 + (packet->is_tcp ? 16 : packet->is_icmp ? 2 : 6);
}

// Whether the packet may go the way, which has all of `flags`; the flow is ours meanwhile, and `true` has counted
// the packet.
static __always_inline bool follow(struct sluice_flow *flow, struct sluice_flow_name name,
                                   const struct plain_packet *packet, __u8 flags,
                                   __u32 snapshot, __u64 now, struct rewriting *rewriting) {
    struct sluice_flow_way *way = &flow->ways[name.which & 1];
    // `last_seen_ns` may be ahead of this CPU's clock reading.
    if (flow->snapshot != snapshot || (way->flags & flags) != flags || now >= flow->until_ns ||
        (__s64)(now - flow->last_seen_ns) >= (__s64)flow->idle_ns ||
        way->generation != name.generation || way->type_of_service != packet->type_of_service ||
        packet->largest > way->mtu)
        return false;
    if (packet->is_tcp && !follow_window(flow, name.which & 1, &packet->segment))
        return false;
    if ((__s64)(now - flow->last_seen_ns) > 0)
        flow->last_seen_ns = now;
    way->packets++;
    way->bytes += packet->length;
    rewriting->source = way->new_source;
    rewriting->destination = way->new_destination;
    rewriting->source_port = way->new_source_port;
    rewriting->destination_port = way->new_destination_port;
    rewriting->egress = way->egress;
    rewriting->address_difference = way->address_difference;
    rewriting->port_difference = way->port_difference;
    __builtin_memcpy(rewriting->macs, way->target_mac, 6);
    __builtin_memcpy(rewriting->macs + 6, way->source_mac, 6);
    rewriting->flags = way->flags;
    rewriting->is_icmp = packet->is_icmp;
    return true;
}

// Takes the flow, if it can be had, has the packet follow the way, and gives the flow back.
static __always_inline bool take_along(struct sluice_flow *flow,
                                       struct sluice_flow_name name,
                                       const struct plain_packet *packet, __u8 flags,
                                       struct sluice_offload_control *now, __u64 time,
                                       struct rewriting *to) {
    if (!take(flow))
        return false;
    bool follows =
        follow(flow, name, packet, flags, *(volatile __u32 *)&now->snapshot, time, to);
    give(flow);
    return follows;
}

// Everything but the transport checksum. The time to live, one less, adds ~1 in its byte.
static __always_inline void rewrite(void *data, const struct rewriting *to) {
    struct iphdr *ip = data + ETH_HLEN;
    __u16 *ports = (void *)ip + 20;
    __builtin_memcpy(data, to->macs, 12);
    __u32 sum = (__u16)~ip->check + (__u32)bpf_htons(0xfeff);
    if (to->flags & SLUICE_WAY_NEW_ADDRESSES)
        sum += to->address_difference;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip->check = ~sum;
    ip->ttl--;
    ip->saddr = to->source;
    ip->daddr = to->destination;
    if (to->is_icmp) {
        ports[2] = to->source_port;
        return;
    }
    ports[0] = to->source_port;
    ports[1] = to->destination_port;
}
