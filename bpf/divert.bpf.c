// The road past the kernel's socket buffers: an XDP program that hands Sluice's frames to AF_XDP sockets.
//
// It only diverts. Whatever it lets pass meets the tap and the claim (`claim.bpf.c`), which stay where they
// are and know whose a frame is: so it may pass every frame that it is not sure of, or that a socket could
// not hold, and none is lost, handled twice or slips past the rules.
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_core_read.h>

#include "heartbeat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_XSKMAP);
    __uint(max_entries, SLUICE_DIVERT_QUEUES);
    __type(key, __u32);
    __type(value, __u32);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_divert_settings);
} settings SEC(".maps");

// As much of the kernel's own structs as says whether a socket buffer is a super-frame.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct xdp_buff {
    void *data_hard_start;
    __u32 frame_sz;
};
struct skb_shared_info {
    unsigned short gso_size;
};
#pragma clang attribute pop

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

// Only in generic mode lies a socket buffer's skb_shared_info behind the frame (bpf_prog_run_generic_xdp).
static __always_inline bool is_super_frame(struct xdp_md *context) {
    struct xdp_buff *buffer = bpf_cast_to_kern_ctx(context);
    __u32 size = (bpf_core_type_size(struct skb_shared_info) + 63) & ~63u;
    struct skb_shared_info *shared =
        BPF_CORE_READ(buffer, data_hard_start) + BPF_CORE_READ(buffer, frame_sz) - size;
    return BPF_CORE_READ(shared, gso_size) != 0;
}

// What Sluice itself puts on the interface passes here again in generic mode. The claim looks at the
// mark, so that nobody gains by forging this address.
static __always_inline bool is_own(const struct ethhdr *ethernet, struct xdp_md *context) {
    const __u16 *source = (const __u16 *)ethernet->h_source;
    return source[0] == bpf_htons(SLUICE_MAC_INTERFACE) &&
           source[1] == bpf_htons(context->ingress_ifindex >> 16) &&
           source[2] == bpf_htons(context->ingress_ifindex & 0xffff);
}

SEC("xdp.frags")
int sluice_divert(struct xdp_md *context) {
    __u32 zero = 0;
    const struct sluice_divert_settings *now = bpf_map_lookup_elem(&settings, &zero);
    const void *data = (const void *)(long)context->data;
    const void *end = (const void *)(long)context->data_end;
    const struct ethhdr *ethernet = data;
    const struct iphdr *ip = data + ETH_HLEN;
    if (!now || (const void *)(ip + 1) > end || ethernet->h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    const __u16 *target = (const __u16 *)ethernet->h_dest;
    if (target[0] != now->address[0] || target[1] != now->address[1] ||
        target[2] != now->address[2])
        return XDP_PASS;
    __u64 length = bpf_xdp_get_buff_len(context);
    if (length != (__u64)(end - data) || length > now->largest || !is_unicast(ip->daddr))
        return XDP_PASS;
    // The kernel leaves other checksums to the hardware, too, and whether it did shows in these alone.
    if (ip->protocol == IPPROTO_TCP ? now->leaves_tcp
                                    : ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_ICMP)
        return XDP_PASS;
    if (now->is_generic && (is_own(ethernet, context) || is_super_frame(context)))
        return XDP_PASS;
    if (!heart_beats())
        return XDP_PASS;
    // Queues without a socket pass.
    return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}
