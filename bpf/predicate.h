// The one predicate: which frames are for the node's IPv4. The tap's filter, the claim and the guard all
// call it, so that no frame is handled twice and none falls between them.
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "CFlowABI.h"

// TCX return codes, and a flag of bpf_fib_lookup (Linux 6.3); linux/bpf.h of Debian 12 is older.
#define TCX_NEXT -1
#define TCX_DROP 2
#define FIB_LOOKUP_SKIP_NEIGH (1u << 2)
// <sys/socket.h> wants the headers of a whole C library.
#define AF_INET 2

// Bytes of the IPv4 header, from `offset` on. Counted from the network header: a socket buffer that generic XDP has
// copied comes to tc ingress with mac_len 0, so that data starts behind the Ethernet header and not, as
// otherwise, with it. That way reaches the buffer's linear part only; one that ends before the IPv4 header
// has not been copied.
static __always_inline long load_ipv4(struct __sk_buff *skb, __u32 offset, void *to, __u32 size) {
    long status = bpf_skb_load_bytes_relative(skb, offset, to, size, BPF_HDR_START_NET);
    return status < 0 ? bpf_skb_load_bytes(skb, ETH_HLEN + offset, to, size) : status;
}

// Neither multicast nor the limited broadcast; big endian.
static __always_inline bool is_unicast(__be32 destination) {
    __u32 address = bpf_ntohl(destination);
    return (address >> 28) != 0xE && address != 0xffffffff;
}

// Unicast IPv4 to the interface's own MAC address. `pkt_type` is what eth_type_trans found when it
// compared the destination with the device's address, and what the kernel's IP layer itself goes by, so
// a changed MAC address is followed at once.
static __always_inline bool is_node_ipv4(struct __sk_buff *skb) {
    if (skb->pkt_type != PACKET_HOST || skb->protocol != bpf_htons(ETH_P_IP))
        return false;
    // Tagged frames belong to a VLAN device above; VID 0 is only a priority.
    if (skb->vlan_present && (skb->vlan_tci & 0x0fff))
        return false;
    __be32 destination;
    // Too short for an IPv4 header: Sluice counts it, so Sluice takes it.
    if (load_ipv4(skb, 16, &destination, sizeof destination) < 0)
        return true;
    return is_unicast(destination);
}
