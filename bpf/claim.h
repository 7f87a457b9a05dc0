// Keeping a frame from the kernel's IP layer, and counting it.
#pragma once

#include "heartbeat.h"

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct sluice_claim_counters);
} counters SEC(".maps");

// What becomes of a frame that the tap takes, if it is interested, and that nobody carries.
static __always_inline int claim(struct __sk_buff *skb, struct sluice_claim_counters *counter,
                                 enum sluice_interest whose) {
    switch (whose) {
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
