#define _GNU_SOURCE
#include "CGenerator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LARGEST = 1514, HEADERS = ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr) };

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
    long status = syscall(SYS_bpf, command, attributes, sizeof *attributes);
    return status < 0 ? -errno : (int)status;
}

static uint16_t checksum(const uint16_t *words, int count) {
    uint32_t sum = 0;
    for (int index = 0; index < count; index++)
        sum += words[index];
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

/// Headers as they leave, but for the source port; without a UDP checksum.
static void write_headers(const struct generator_load *load, uint8_t *frame) {
    struct ethhdr ethernet = {.h_proto = htons(ETH_P_IP)};
    memcpy(ethernet.h_dest, load->target_address, ETH_ALEN);
    memcpy(ethernet.h_source, load->source_address, ETH_ALEN);
    struct iphdr ip = {
        .version = 4,
        .ihl = 5,
        .tot_len = htons((uint16_t)(load->length - ETH_HLEN)),
        .frag_off = htons(0x4000),
        .ttl = 64,
        .protocol = IPPROTO_UDP,
        .saddr = htonl(load->source),
        .daddr = htonl(load->destination),
    };
    ip.check = checksum((const uint16_t *)&ip, sizeof ip / 2);
    struct udphdr udp = {
        .dest = htons(load->port),
        .len = htons((uint16_t)(load->length - ETH_HLEN - sizeof ip)),
    };
    memcpy(frame, &ethernet, sizeof ethernet);
    memcpy(frame + ETH_HLEN, &ip, sizeof ip);
    memcpy(frame + ETH_HLEN + sizeof ip, &udp, sizeof udp);
}

/// A program that writes the headers, since pages come back with what their last receiver left in them.
static int load_program(const struct generator_load *load, const uint8_t *frame) {
    struct bpf_insn program[64];
    unsigned int count = 0;
#define ADD(code, dst, src, off, imm)                                                              \
    program[count++] = (struct bpf_insn) { code, dst, src, off, imm }
    ADD(BPF_LDX | BPF_MEM | BPF_W, 7, 1, offsetof(struct xdp_md, data), 0);
    ADD(BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(struct xdp_md, data_end), 0);
    ADD(BPF_ALU64 | BPF_MOV | BPF_X, 4, 7, 0, 0);
    ADD(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, HEADERS + 2);
    ADD(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_DROP);
    unsigned int check = count;
    ADD(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 0, 0);
    for (int offset = 0; offset < HEADERS; offset += 4) {
        int word;
        memcpy(&word, frame + offset, sizeof word);
        ADD(BPF_ST | BPF_MEM | BPF_W, 7, 0, (short)offset, word);
    }
    ADD(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
    ADD(BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, load->flows - 1);
    ADD(BPF_ALU64 | BPF_ADD | BPF_K, 0, 0, 0, 1024);
    ADD(BPF_ALU | BPF_END | BPF_TO_BE, 0, 0, 0, 16);
    ADD(BPF_STX | BPF_MEM | BPF_H, 7, 0, ETH_HLEN + sizeof(struct iphdr), 0);
    ADD(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_TX);
    program[check].off = (short)(count - check - 1);
    ADD(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
#undef ADD
    union bpf_attr attributes = {.prog_type = BPF_PROG_TYPE_XDP,
                                 .insns = (uint64_t)(uintptr_t)program,
                                 .insn_cnt = count,
                                 .license = (uint64_t)(uintptr_t) "Dual BSD/GPL"};
    return bpf(BPF_PROG_LOAD, &attributes);
}

int generator_run(const struct generator_load *load, uint32_t count) {
    uint8_t frame[LARGEST] = {0};
    unsigned int index = if_nametoindex(load->interface);
    if (index == 0 || load->length < 60 || load->length > LARGEST || load->flows == 0 ||
        (load->flows & (load->flows - 1)) != 0)
        return -EINVAL;
    write_headers(load, frame);
    int program = load_program(load, frame);
    if (program < 0)
        return program;
    struct xdp_md context = {.data_end = load->length, .ingress_ifindex = index};
    union bpf_attr run = {.test = {.prog_fd = (uint32_t)program,
                                   .repeat = count,
                                   .data_in = (uint64_t)(uintptr_t)frame,
                                   .data_size_in = load->length,
                                   .ctx_in = (uint64_t)(uintptr_t)&context,
                                   .ctx_size_in = sizeof context,
                                   .flags = BPF_F_TEST_XDP_LIVE_FRAMES}};
    int status = bpf(BPF_PROG_TEST_RUN, &run);
    close(program);
    return status;
}
