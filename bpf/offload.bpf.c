// Carries established flows without the daemon, at tc ingress, where partial checksums and super-frames survive.
//
// It takes the place of claim.bpf.c. The tap sees a frame before tc ingress does, so the tap's filter is where
// it must be decided who gets it: the daemon, through the tap, or the flow's way out. The filter cannot change
// a frame, nor hold a lock, so what it finds is only that the frame *seems* to be carried; it leaves a note for
// `sluice_offload`, which sees the same frame next on this CPU, and which decides with the flow in its hands.
// A frame that it then cannot carry comes in again under a mark that makes the tap take it.
// See Docs/decisions/0006-who-carries-a-frame.md.
#include <bpf/bpf_core_read.h>

#include "claim.h"
#include "flow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sk_buff {
    __u8 ip_summed : 2;
    __u16 mac_len;
};
#pragma clang attribute pop

// enum of include/linux/skbuff.h
#define CHECKSUM_UNNECESSARY 1
#define CHECKSUM_PARTIAL 3

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_handoff);
} handoff SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct sluice_offload_counters);
} offload_counters SEC(".maps");

static __always_inline struct sluice_handoff *current_handoff(void) {
    __u32 zero = 0;
    return bpf_map_lookup_elem(&handoff, &zero);
}

// The flow and direction that the frame seems to belong to, 0 for none. What can be seen without the flow in
// hand is looked at here, since what is turned away behind the tap has to come in again.
static __always_inline __u32 candidate(struct __sk_buff *skb) {
    struct {
        struct iphdr ip;
        __be16 source_port, destination_port;
    } head;
    if (bpf_skb_load_bytes(skb, ETH_HLEN, &head, sizeof head) < 0)
        return 0;
    if (*(__u8 *)&head.ip != 0x45 || (head.ip.frag_off & bpf_htons(0x3fff)) || head.ip.ttl <= 1)
        return 0;
    // The daemon sends without the tag. And what generic XDP has copied comes to tc ingress without its Ethernet
    // header (`load_ipv4`).
    struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
    if (skb->vlan_present || BPF_CORE_READ(kernel, mac_len) != ETH_HLEN)
        return 0;
    __u32 length = bpf_ntohs(head.ip.tot_len);
    if (head.ip.protocol == IPPROTO_TCP) {
        __u8 bytes[2];
        if (bpf_skb_load_bytes(skb, ETH_HLEN + 20 + 12, bytes, sizeof bytes) < 0 ||
            (bytes[1] & JUDGED_FLAGS) != ONLY_ACK)
            return 0;
        if (skb->gso_size)
            length = 20 + (bytes[0] >> 4) * 4 + skb->gso_size;
    } else if (head.ip.protocol == IPPROTO_ICMP) {
        // As `read_plain` has them.
        head.destination_port = head.source_port;
        if (skb->gso_size || !is_echo(*(__u8 *)&head.destination_port) ||
            bpf_skb_load_bytes(skb, ETH_HLEN + 20 + 4, &head.source_port,
                               sizeof head.source_port) < 0)
            return 0;
    } else if (head.ip.protocol != IPPROTO_UDP || skb->gso_size) {
        return 0;
    }
    struct sluice_flow_key key = {
        .interface = skb->ifindex,
        .source = head.ip.saddr,
        .destination = head.ip.daddr,
        .source_port = head.source_port,
        .destination_port = head.destination_port,
        .protocol = head.ip.protocol,
    };
    return seem(&key, head.ip.tos, length, SLUICE_WAY_OPEN).which;
}

SEC("socket")
int sluice_offload_tap(struct __sk_buff *skb) {
    struct sluice_handoff *note = current_handoff();
    if (!note)
        return 0;
    note->which = 0;
    if (interest(skb) != WANTED)
        return 0;
    if (skb->mark != SLUICE_HANDBACK_MARK) {
        __u32 which = candidate(skb);
        if (which) {
            note->which = which;
            note->interface = skb->ifindex;
            note->length = skb->len;
            return 0;
        }
    }
    return 0x7fffffff;
}

static __always_inline long load(void *skb, __u32 offset, void *to, __u32 size) {
    return bpf_skb_load_bytes(skb, offset, to, size);
}

// Whether connection tracking would find the transport checksum right; `false` where that cannot be told.
static __always_inline bool is_verified(struct __sk_buff *skb, const struct plain_packet *packet) {
    struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
    __u8 summed = BPF_CORE_READ_BITFIELD(kernel, ip_summed);
    return summed == CHECKSUM_PARTIAL || summed == CHECKSUM_UNNECESSARY || skb->gso_size ||
           transport_adds_up(skb, load, packet);
}

static __always_inline int hand_back(struct __sk_buff *skb, struct sluice_offload_counters *counter) {
    counter->handed_back++;
    skb->mark = SLUICE_HANDBACK_MARK;
    return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

static __always_inline int carry(struct __sk_buff *skb, __u32 which, __u64 time,
                                 struct sluice_offload_counters *counter) {
    struct sluice_offload_control *now = current_control();
    if (!now)
        return hand_back(skb, counter);
    // The headers, options included, where they can be read and written.
    __u32 headers = ETH_HLEN + 20 + 60;
    if (headers > skb->len)
        headers = skb->len;
    if ((void *)(long)skb->data + headers > (void *)(long)skb->data_end &&
        bpf_skb_pull_data(skb, headers) < 0)
        return hand_back(skb, counter);
    void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
    if (data + ETH_HLEN + 28 > data_end)
        return hand_back(skb, counter);
    struct plain_packet packet = {.key.interface = skb->ifindex};
    if (!read_plain(data, data_end, skb->len, skb->gso_size, &packet))
        return hand_back(skb, counter);
    // What stands behind the packet is cut off, which cannot be done to a super-frame.
    bool is_padded = skb->len > packet.length + ETH_HLEN;
    if (is_padded && skb->gso_size)
        return hand_back(skb, counter);
    if (*(volatile __u32 *)&now->verifies_checksums && !is_verified(skb, &packet))
        return hand_back(skb, counter);
    // The note says what the tap found; what is this packet's is found anew.
    struct sluice_flow_name name =
        seem(&packet.key, packet.type_of_service, packet.largest, SLUICE_WAY_OPEN);
    __u32 number = name.which >> 1;
    struct sluice_flow *flow = bpf_map_lookup_elem(&flows, &number);
    struct rewriting to;
    if (name.which != which || !flow ||
        !take_along(flow, name, &packet, SLUICE_WAY_OPEN, now, time, &to))
        return hand_back(skb, counter);
    // From here on the packet is counted: it goes its way or is lost.
    __u32 checksum = checksum_offset(&packet);
    __u32 mangled = packet.is_tcp || packet.is_icmp ? 0 : BPF_F_MARK_MANGLED_0;
    if (is_padded && bpf_skb_change_tail(skb, packet.length + ETH_HLEN, 0) < 0)
        goto lost;
    if ((to.flags & SLUICE_WAY_NEW_ADDRESSES) && !packet.is_icmp &&
        bpf_l4_csum_replace(skb, checksum, 0, to.address_difference,
                            BPF_F_PSEUDO_HDR | mangled) < 0)
        goto lost;
    if ((to.flags & SLUICE_WAY_NEW_PORTS) &&
        bpf_l4_csum_replace(skb, checksum, 0, to.port_difference, mangled) < 0)
        goto lost;
    data = (void *)(long)skb->data;
    data_end = (void *)(long)skb->data_end;
    if (data + ETH_HLEN + 28 > data_end)
        goto lost;
    rewrite(data, &to);
    counter->carried++;
    skb->mark = 0;
    skb->priority = 0;
    return to.flags & SLUICE_WAY_PEER ? bpf_redirect_peer(to.egress, 0) : bpf_redirect(to.egress, 0);
lost:
    counter->failed++;
    return TCX_DROP;
}

SEC("tc")
int sluice_offload(struct __sk_buff *skb) {
    __u32 interface = skb->ifindex;
    struct sluice_claim_counters *counter = bpf_map_lookup_elem(&counters, &interface);
    struct sluice_offload_counters *carried = bpf_map_lookup_elem(&offload_counters, &interface);
    struct sluice_handoff *note = current_handoff();
    if (!counter || !carried || !note)
        return TCX_NEXT;
    __u32 which = 0;
    if (note->interface == skb->ifindex && note->length == skb->len)
        which = note->which;
    note->which = 0;
    if (which && skb->mark != SLUICE_MARK && is_node_ipv4(skb)) {
        __u64 time = bpf_ktime_get_ns();
        // The tap has passed over it: from here on it is the flow's, or the kernel's.
        return heart_beats_at(time) ? carry(skb, which, time, carried)
                                    : claim(skb, counter, HEART_STOPPED);
    }
    if (skb->mark == SLUICE_HANDBACK_MARK)
        skb->mark = 0;
    return claim(skb, counter, interest(skb));
}
