// `--on-death closed`: the kernel forwards nothing that comes in through an adopted interface.
//
// It stays when the daemon is gone and asks for no heartbeat: while the daemon lives, the claim keeps
// these frames from the kernel anyway, so there is no moment between a death and the closing. What is for
// the node itself passes. Whether that is so the kernel's own routing says, for every frame anew;
// there is no list of addresses to keep in step.
#include <linux/ip.h>

#include "predicate.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int sluice_guard(struct __sk_buff *skb) {
    if (skb->mark == SLUICE_MARK || !is_node_ipv4(skb))
        return TCX_NEXT;
    struct iphdr ip;
    if (load_ipv4(skb, 0, &ip, sizeof ip) < 0)
        return TCX_NEXT;
    struct bpf_fib_lookup route = {
        .family = AF_INET,
        .tos = ip.tos,
        .ipv4_src = ip.saddr,
        .ipv4_dst = ip.daddr,
        .ifindex = skb->ifindex,
    };
    switch (bpf_fib_lookup(skb, &route, sizeof route, FIB_LOOKUP_SKIP_NEIGH)) {
    // Local, broadcast, without a route, or to be answered with an error: nothing that is forwarded.
    case BPF_FIB_LKUP_RET_NOT_FWDED:
    case BPF_FIB_LKUP_RET_FWD_DISABLED:
    case BPF_FIB_LKUP_RET_BLACKHOLE:
    case BPF_FIB_LKUP_RET_UNREACHABLE:
    case BPF_FIB_LKUP_RET_PROHIBIT:
        return TCX_NEXT;
    // A route, or a reason that would not keep the kernel from forwarding.
    default:
        return TCX_DROP;
    }
}
