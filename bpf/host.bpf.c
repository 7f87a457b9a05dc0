// The host port `sluice0`: the node's own packets on their way out of its sockets, and in to them.
//
// Out: routes lead every packet of the node's own sockets to the device; `sluice_host_out` writes mark and
// user into the Ethernet addresses, and Sluice reads the frame. In: Sluice writes a frame whose source
// address names an interface; `sluice_host_in` moves it there, as if it had just come in, under the mark
// that the claim and the tap of that interface let pass. So sockets, rp_filter and IP_PKTINFO see the
// interface that they would see without Sluice.
#include <linux/ip.h>

#include "heartbeat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// What bpf_get_socket_uid says where there is no user (kernel.overflowuid).
#define OVERFLOW_USER 65534

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_host_counters);
} host_counters SEC(".maps");

// Sends a packet the way the main table says, past Sluice: the daemon hangs, and the node must stay
// reachable. Rules and other tables are not asked; table main is where nodes have their routes.
static __always_inline int reroute(struct __sk_buff *skb) {
    struct iphdr ip;
    if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof ip) < 0)
        return TCX_DROP;
    struct bpf_fib_lookup route = {
        .family = AF_INET,
        .tos = ip.tos,
        .ipv4_src = ip.saddr,
        .ipv4_dst = ip.daddr,
        .ifindex = skb->ifindex,
    };
    if (bpf_fib_lookup(skb, &route, sizeof route, BPF_FIB_LOOKUP_DIRECT | FIB_LOOKUP_SKIP_NEIGH) !=
            BPF_FIB_LKUP_RET_SUCCESS ||
        route.ifindex == skb->ifindex)
        return TCX_DROP;
    struct bpf_redir_neigh hop = {.nh_family = AF_INET, .ipv4_nh = route.ipv4_dst};
    return bpf_redirect_neigh(route.ifindex, &hop, sizeof hop, 0);
}

SEC("tc")
int sluice_host_out(struct __sk_buff *skb) {
    __u32 zero = 0;
    struct sluice_host_counters *counter = bpf_map_lookup_elem(&host_counters, &zero);
    if (!counter)
        return TCX_DROP;
    if (skb->protocol != bpf_htons(ETH_P_IP)) {
        counter->discarded++;
        return TCX_DROP;
    }
    if (!heart_beats()) {
        counter->rerouted++;
        return reroute(skb);
    }
    struct sluice_host_addresses addresses = {
        .destination = {bpf_htons(SLUICE_MAC_MARK), bpf_htonl(skb->mark)},
        .source = {bpf_htons(SLUICE_MAC_NO_USER), 0},
    };
    struct bpf_sock *socket = skb->sk;
    if (socket) {
        // Half-open and time-wait sockets belong to a listener or to nobody.
        __u32 user = bpf_get_socket_uid(skb);
        if (bpf_sk_fullsock(socket) || user != OVERFLOW_USER) {
            addresses.source.kind = bpf_htons(SLUICE_MAC_USER);
            addresses.source.value = bpf_htonl(user);
        }
    }
    if (bpf_skb_store_bytes(skb, 0, &addresses, sizeof addresses, 0) < 0) {
        counter->discarded++;
        return TCX_DROP;
    }
    return TCX_NEXT;
}

SEC("tc")
int sluice_host_in(struct __sk_buff *skb) {
    __u32 zero = 0;
    struct sluice_host_counters *counter = bpf_map_lookup_elem(&host_counters, &zero);
    struct sluice_mac_field source;
    if (!counter)
        return TCX_DROP;
    if (bpf_skb_load_bytes(skb, ETH_ALEN, &source, sizeof source) < 0 ||
        source.kind != bpf_htons(SLUICE_MAC_INTERFACE)) {
        counter->discarded++;
        return TCX_DROP;
    }
    counter->delivered++;
    skb->mark = SLUICE_MARK;
    return bpf_redirect(bpf_ntohl(source.value), BPF_F_INGRESS);
}
