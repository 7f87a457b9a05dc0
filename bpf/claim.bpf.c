// Keeps the kernel's IP layer from handling frames that Sluice handles.
//
// A frame meets, in this order: the tap (an AF_PACKET socket bound with ETH_P_ALL, filtered by
// `sluice_tap`), then tc ingress (`sluice_claim`, a TCX link owned by the daemon), then IP. Both ask the
// same predicate. When the daemon dies its link goes; when it hangs the heartbeat grows old, and from
// then on the tap takes nothing and the claim passes everything.
#include "claim.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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
    return counter ? claim(skb, counter, interest(skb)) : TCX_NEXT;
}
