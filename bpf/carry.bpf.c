// Carries established flows in front of the kernel's socket buffers, by the same flows and the same judgement
// (`flow.h`) as the program at tc ingress (`offload.bpf.c`), which stays where it is.
//
// It redirects what it can prove and passes everything else, which then meets the tap and tc ingress as if this
// program were not there. So it may pass whatever it is not sure of: packets of no flow, those that leave by an
// interface that takes nothing from XDP, and those whose checksum a socket left to its device: the mark that
// says so belongs to the socket buffer, which is lost here and stays at tc.
#include "flow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// One interface each: the program is loaded for each anew, so that these are found without a search.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_carry_settings);
} settings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sluice_carry_state);
} state SEC(".maps");

static __always_inline __u64 coarse_time(struct sluice_carry_state *mine) {
    __u64 jiffies = bpf_jiffies64();
    if (mine->jiffies != jiffies) {
        mine->jiffies = jiffies;
        mine->time_ns = bpf_ktime_get_ns();
    }
    return mine->time_ns;
}

static __always_inline long load(void *context, __u32 offset, void *to, __u32 size) {
    return bpf_xdp_load_bytes(context, offset, to, size);
}

// A sum that is of ones alone is written so for UDP (RFC 768), where 0 says that there is none.
static __always_inline void add_to_checksum(__u16 *field, const struct rewriting *to, bool is_udp) {
    if (is_udp && !*field)
        return;
    __u32 sum = (__u16)~*field;
    // That of ICMP does not cover addresses.
    if ((to->flags & SLUICE_WAY_NEW_ADDRESSES) && !to->is_icmp)
        sum += to->address_difference;
    if (to->flags & SLUICE_WAY_NEW_PORTS)
        sum += to->port_difference;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    *field = ~sum;
    if (is_udp && !*field)
        *field = 0xffff;
}

// The field holds the pseudo header's sum, as a socket leaves it for its device: no checksum yet, however it
// adds up.
static __always_inline bool is_unfinished(__u16 field, const struct plain_packet *packet) {
    __u32 sum = (packet->key.source & 0xffff) + (packet->key.source >> 16) +
                (packet->key.destination & 0xffff) + (packet->key.destination >> 16) +
                bpf_htons(packet->key.protocol) + bpf_htons(packet->length - 20);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return field == sum;
}

SEC("xdp.frags")
int sluice_carry(struct xdp_md *context) {
    __u32 zero = 0;
    const struct sluice_carry_settings *own = bpf_map_lookup_elem(&settings, &zero);
    struct sluice_carry_state *mine = bpf_map_lookup_elem(&state, &zero);
    struct sluice_offload_control *now = current_control();
    void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
    const struct ethhdr *ethernet = data;
    if (!own || !mine || !now || data + ETH_HLEN + 28 > end ||
        ethernet->h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    const __u16 *target = (const __u16 *)ethernet->h_dest;
    if (target[0] != own->address[0] || target[1] != own->address[1] ||
        target[2] != own->address[2])
        return XDP_PASS;
    // In one piece.
    __u32 length = end - data;
    if (bpf_xdp_get_buff_len(context) != length)
        return XDP_PASS;
    struct plain_packet packet = {.key.interface = context->ingress_ifindex};
    if (!read_plain(data, end, length, 0, &packet))
        return XDP_PASS;
    struct sluice_flow_name name = seem(&packet.key, packet.type_of_service, packet.largest,
                                        SLUICE_WAY_OPEN | SLUICE_WAY_XDP);
    __u32 number = name.which >> 1;
    struct sluice_flow *flow = bpf_map_lookup_elem(&flows, &number);
    if (!name.which || !flow)
        return XDP_PASS;
    __u16 *checksum = data + checksum_offset(&packet);
    if ((void *)(checksum + 1) > end)
        return XDP_PASS;
    bool is_udp = !packet.is_tcp && !packet.is_icmp;
    bool has_checksum = !is_udp || *checksum;
    if (has_checksum && (*(volatile __u32 *)&now->verifies_checksums
                             ? !transport_adds_up(context, load, &packet)
                             : !packet.is_icmp && is_unfinished(*checksum, &packet)))
        return XDP_PASS;
    __u64 time = coarse_time(mine);
    struct rewriting to;
    if (!heart_beats_at(time) ||
        !take_along(flow, name, &packet, SLUICE_WAY_OPEN | SLUICE_WAY_XDP, now, time, &to))
        return XDP_PASS;
    // From here on the packet is counted: it goes its way or is lost.
    add_to_checksum(checksum, &to, is_udp);
    rewrite(data, &to);
    if (length > packet.length + ETH_HLEN &&
        bpf_xdp_adjust_tail(context, (int)(packet.length + ETH_HLEN) - (int)length) < 0) {
        mine->counters.failed++;
        return XDP_DROP;
    }
    mine->counters.carried++;
    return bpf_redirect(to.egress, 0);
}
