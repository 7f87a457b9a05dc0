// The two ends of a benchmark's frames (`sluice bench`): a program that makes them, run on pages of the kernel's own
// (BPF_PROG_TEST_RUN with live frames, Linux 5.18), and one where they arrive that counts and ends them.
//
// Both read one clock, so what a frame carries of its departure says how long it took.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "CFlowABI.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// TCX return codes; linux/bpf.h of Debian 12 is older.
#define TCX_NEXT -1
#define TCX_DROP 2

#define HEADERS (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))

/// Behind the headers. Fits the shortest frame.
struct stamp {
    __u32 magic;
    __u32 number;
    __u64 departure_ns;
} __attribute__((packed));

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_load);
} load SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_receipt);
} receipt SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, SLUICE_LOAD_DELAYS);
    __type(key, __u32);
    __type(value, __u64);
} delays SEC(".maps");

// One CPU runs it at a time. Pages come back with what their last receiver left in them, so each frame is
// written whole.
SEC("xdp")
int sluice_generate(struct xdp_md *context) {
    void *data = (void *)(long)context->data;
    void *end = (void *)(long)context->data_end;
    __u32 zero = 0;
    struct sluice_load *settings = bpf_map_lookup_elem(&load, &zero);
    if (!settings || data + HEADERS + sizeof(struct stamp) > end)
        return XDP_DROP;
    __u64 now = bpf_ktime_get_ns();
    __u64 number = settings->sent;
    // 1024 to keep what is smaller than a nanosecond.
    if (number >= settings->count ||
        (number && settings->interval && now < settings->first_ns + number * settings->interval / 1024))
        return XDP_DROP;
    settings->sent = number + 1;
    settings->last_ns = now;
    if (number == 0)
        settings->first_ns = now;
    __builtin_memcpy(data, settings->headers, HEADERS);
    __u32 flow = (__u32)number & (settings->flows - 1);
    struct udphdr *udp = data + ETH_HLEN + sizeof(struct iphdr);
    udp->source = bpf_htons(1024 + (flow & 0x7fff));
    udp->dest = bpf_htons(settings->port + (flow >> 15));
    struct stamp *stamp = data + HEADERS;
    stamp->magic = SLUICE_LOAD_MAGIC;
    stamp->number = (__u32)number;
    stamp->departure_ns = now;
    return XDP_TX;
}

static __always_inline int load_stamp(struct __sk_buff *skb, struct stamp *stamp) {
    return skb->protocol == bpf_htons(ETH_P_IP) &&
           bpf_skb_load_bytes(skb, HEADERS, stamp, sizeof *stamp) == 0 &&
           stamp->magic == SLUICE_LOAD_MAGIC;
}

// Back to where it came from, as a server's answer.
static __always_inline int answer(struct __sk_buff *skb) {
    __u8 mac[2 * ETH_ALEN], swapped_mac[2 * ETH_ALEN];
    __be32 address[2], swapped_address[2];
    __be16 port[2], swapped_port[2];
    const __u32 addresses = ETH_HLEN + __builtin_offsetof(struct iphdr, saddr);
    const __u32 ports = ETH_HLEN + sizeof(struct iphdr);
    if (bpf_skb_load_bytes(skb, 0, mac, sizeof mac) < 0 ||
        bpf_skb_load_bytes(skb, addresses, address, sizeof address) < 0 ||
        bpf_skb_load_bytes(skb, ports, port, sizeof port) < 0)
        return TCX_DROP;
    __builtin_memcpy(swapped_mac, mac + ETH_ALEN, ETH_ALEN);
    __builtin_memcpy(swapped_mac + ETH_ALEN, mac, ETH_ALEN);
    swapped_address[0] = address[1];
    swapped_address[1] = address[0];
    swapped_port[0] = port[1];
    swapped_port[1] = port[0];
    bpf_skb_store_bytes(skb, 0, swapped_mac, sizeof swapped_mac, 0);
    bpf_skb_store_bytes(skb, addresses, swapped_address, sizeof swapped_address, 0);
    bpf_skb_store_bytes(skb, ports, swapped_port, sizeof swapped_port, 0);
    return bpf_redirect(skb->ifindex, 0);
}

/// Counts a frame; whether it is to be answered.
static __always_inline int arrived(const struct stamp *stamp, const struct iphdr *ip) {
    __u32 zero = 0;
    struct sluice_load *settings = bpf_map_lookup_elem(&load, &zero);
    struct sluice_receipt *counters = bpf_map_lookup_elem(&receipt, &zero);
    if (!settings || !counters)
        return 0;
    __u64 place = __sync_fetch_and_add(&counters->frames, 1);
    if (ip->daddr == settings->expected_destination && ip->saddr == settings->expected_source)
        __sync_fetch_and_add(&counters->expected, 1);
    __u32 slot = (__u32)place & (SLUICE_LOAD_DELAYS - 1);
    __u64 *delay = bpf_map_lookup_elem(&delays, &slot);
    if (delay)
        *delay = bpf_ktime_get_ns() - stamp->departure_ns;
    return stamp->number < settings->answered;
}

SEC("tc")
int sluice_receive(struct __sk_buff *skb) {
    struct stamp stamp;
    struct iphdr ip;
    if (!load_stamp(skb, &stamp) || bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof ip) < 0)
        return TCX_NEXT;
    return arrived(&stamp, &ip) ? answer(skb) : TCX_DROP;
}

// The same before there is a socket buffer. It answers nothing.
SEC("xdp")
int sluice_receive_early(struct xdp_md *context) {
    void *data = (void *)(long)context->data;
    void *end = (void *)(long)context->data_end;
    struct ethhdr *ethernet = data;
    struct stamp *stamp = data + HEADERS;
    if (data + HEADERS + sizeof *stamp > end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
        stamp->magic != SLUICE_LOAD_MAGIC)
        return XDP_PASS;
    arrived(stamp, data + ETH_HLEN);
    return XDP_DROP;
}

// At the client: answers have done what they were for on their way.
SEC("tc")
int sluice_discard(struct __sk_buff *skb) {
    struct stamp stamp;
    return load_stamp(skb, &stamp) ? TCX_DROP : TCX_NEXT;
}
