// Whether the daemon is alive, and with that whose a frame is.
#pragma once

#include "predicate.h"

// One word that the daemon writes through a shared mapping.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_heartbeat);
} heartbeat SEC(".maps");

static __always_inline bool heart_beats_at(__u64 now) {
    __u32 zero = 0;
    struct sluice_heartbeat *value = bpf_map_lookup_elem(&heartbeat, &zero);
    if (!value)
        return false;
    __u64 beat = *(volatile __u64 *)&value->beat_ns;
    // Signed: the beat may be written after this CPU read the clock.
    return beat && (__s64)(now - beat) < (__s64)SLUICE_HEARTBEAT_LIMIT_NS;
}

static __always_inline bool heart_beats(void) { return heart_beats_at(bpf_ktime_get_ns()); }

enum sluice_interest { NOT_OURS, OUR_OWN, HEART_STOPPED, WANTED };

static __always_inline enum sluice_interest interest(struct __sk_buff *skb) {
    if (skb->mark == SLUICE_MARK)
        return OUR_OWN;
    if (!is_node_ipv4(skb))
        return NOT_OURS;
    return heart_beats() ? WANTED : HEART_STOPPED;
}
