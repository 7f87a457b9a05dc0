// Keeps the kernel's IP layer from handling frames that Sluice handles.
//
// A frame meets, in this order: the tap (an AF_PACKET socket bound with ETH_P_ALL, filtered by
// `sluice_tap`), then tc ingress (`sluice_claim`, a TCX link owned by the daemon), then IP. Both ask the
// same predicate. When the daemon dies its link goes; when it hangs the heartbeat grows old, and from
// then on the tap takes nothing and the claim passes everything.
#include "heartbeat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct sluice_claim_counters);
} counters SEC(".maps");

SEC("socket")
int sluice_tap(struct __sk_buff *skb) {
    // The number of bytes to keep: all, or none.
    return interest(skb) == WANTED ? 0x7fffffff : 0;
}

SEC("tc")
int sluice_claim(struct __sk_buff *skb) {
    __u32 interface = skb->ifindex;
    struct sluice_claim_counters *counter = bpf_map_lookup_elem(&counters, &interface);
    // No counters, no claim: the daemon makes them before it attaches.
    if (!counter)
        return TCX_NEXT;
    switch (interest(skb)) {
    case WANTED:
        counter->claimed++;
        return TCX_DROP;
    case HEART_STOPPED:
        counter->stale++;
        return TCX_NEXT;
    case OUR_OWN:
        counter->own++;
        // The node's policy rules may look at bits of the mark; it has done its work here.
        skb->mark = 0;
        // What the host port hands over bears the Ethernet address of wherever it first came in.
        if (skb->pkt_type == PACKET_OTHERHOST)
            bpf_skb_change_type(skb, PACKET_HOST);
        return TCX_NEXT;
    default:
        return TCX_NEXT;
    }
}
