// The host port `sluice0`: the node's own packets on their way out of its sockets, and in to them.
//
// Out: routes lead every packet of the node's own sockets to the device; `sluice_host_out` writes mark, user and
// group over the Ethernet addresses, and Sluice reads the frame. In: Sluice writes a frame whose source
// address names an interface; `sluice_host_in` moves it there, as if it had just come in, under the mark
// that the claim and the tap of that interface let pass. So sockets, rp_filter and IP_PKTINFO see the
// interface that they would see without Sluice.
#include <linux/ip.h>

#include <bpf/bpf_core_read.h>

#include "heartbeat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// As much of the kernel's own structs as the way to a socket's owner needs; where it lies is found when the
// program is loaded (BTF).
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef struct {
    __u32 val;
} kuid_t;
typedef struct {
    __u32 val;
} kgid_t;
struct cred {
    kuid_t fsuid;
    kgid_t fsgid;
};
struct file {
    struct cred *f_cred;
};
struct socket {
    struct file *file;
};
struct sock_common {
    volatile unsigned char skc_state;
    // Of a half-open connection only.
    struct sock *skc_listener;
};
struct sock {
    struct sock_common __sk_common;
    struct socket *sk_socket;
};
struct sk_buff {
    struct sock *sk;
};
#pragma clang attribute pop

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

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

// The user and group with which the socket's file was opened, as xt_owner.c finds them: of a half-open
// connection the listener's; `NULL` where the socket has no file any more, or is the kernel's own.
static __always_inline struct cred *opener_of(struct __sk_buff *ctx) {
    struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
    struct sock *socket = BPF_CORE_READ(skb, sk);
    unsigned char state = BPF_CORE_READ(socket, __sk_common.skc_state);
    if (state == BPF_TCP_NEW_SYN_RECV)
        socket = BPF_CORE_READ(socket, __sk_common.skc_listener);
    if (!socket || state == BPF_TCP_TIME_WAIT)
        return 0;
    return BPF_CORE_READ(socket, sk_socket, file, f_cred);
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
    struct sluice_host_sender sender = {
        .mark = bpf_htonl(skb->mark),
        .user = SLUICE_NOBODY,
        .group = SLUICE_NOBODY,
    };
    struct cred *opener = skb->sk ? opener_of(skb) : 0;
    if (opener) {
        sender.user = bpf_htonl(BPF_CORE_READ(opener, fsuid.val));
        sender.group = bpf_htonl(BPF_CORE_READ(opener, fsgid.val));
    }
    if (bpf_skb_store_bytes(skb, 0, &sender, sizeof sender, 0) < 0) {
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
