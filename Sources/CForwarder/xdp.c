// AF_XDP: queue 0 of two interfaces, one umem. A frame leaves from the chunk in which it came.
#define _GNU_SOURCE
#include "forwarder.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CHUNK = 2048, RING = 2048, CHUNKS = 4 * RING };

struct ring {
    uint32_t *producer, *consumer;
    void *entries;
    /// This end's position.
    uint32_t own;
};

struct side {
    int fd, program, link;
    struct ring receive, transmit, fill, completion;
};

static uint64_t free_chunks[CHUNKS];
static uint32_t free_count;

static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
    long status = syscall(SYS_bpf, command, attributes, sizeof *attributes);
    return status < 0 ? -errno : (int)status;
}

/// A program that sends every frame to the socket in a map's first place, or on to the kernel; attached.
static int attach(struct side *side, unsigned int interface) {
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_XSKMAP,
                          .key_size = 4,
                          .value_size = 4,
                          .max_entries = 1};
    int map_fd = bpf(BPF_MAP_CREATE, &map);
    if (map_fd < 0)
        return map_fd;
    uint32_t key = 0, value = (uint32_t)side->fd;
    union bpf_attr entry = {.map_fd = (uint32_t)map_fd,
                            .key = (uint64_t)(uintptr_t)&key,
                            .value = (uint64_t)(uintptr_t)&value};
    struct bpf_insn program[] = {
        // r2 = context->rx_queue_index
        {BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct xdp_md, rx_queue_index), 0},
        // r1 = map
        {BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map_fd},
        {0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS},
        {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_XDP,
                           .insns = (uint64_t)(uintptr_t)program,
                           .insn_cnt = sizeof program / sizeof *program,
                           .license = (uint64_t)(uintptr_t) "Dual BSD/GPL"};
    side->program = bpf(BPF_PROG_LOAD, &load);
    if (side->program < 0)
        return side->program;
    union bpf_attr link = {.link_create = {.prog_fd = (uint32_t)side->program,
                                           .target_ifindex = interface,
                                           .attach_type = BPF_XDP,
                                           .flags = XDP_FLAGS_DRV_MODE}};
    side->link = bpf(BPF_LINK_CREATE, &link);
    int status = side->link < 0 ? side->link : bpf(BPF_MAP_UPDATE_ELEM, &entry);
    close(map_fd);
    return status;
}

static int make_ring(int fd, off_t page, size_t entry,
                     const struct xdp_ring_offset *offsets, struct ring *ring) {
    size_t length = offsets->desc + RING * entry;
    uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
    if (memory == MAP_FAILED)
        return -errno;
    *ring = (struct ring){(uint32_t *)(memory + offsets->producer),
                          (uint32_t *)(memory + offsets->consumer), memory + offsets->desc, 0};
    return 0;
}

static int open_side(struct side *side, const char *interface, void *memory, int shared) {
    unsigned int index = if_nametoindex(interface);
    int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0 || index == 0)
        return -errno;
    side->fd = fd;
    struct xdp_umem_reg umem = {
        .addr = (uint64_t)(uintptr_t)memory, .len = (uint64_t)CHUNK * CHUNKS, .chunk_size = CHUNK};
    if (shared < 0 && setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem) < 0)
        return -errno;
    const int options[] = {XDP_RX_RING, XDP_TX_RING, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING};
    int size = RING, buffer = 32 << 20;
    for (int option = 0; option < 4; option++)
        if (setsockopt(fd, SOL_XDP, options[option], &size, sizeof size) < 0)
            return -errno;
    struct xdp_mmap_offsets offsets;
    socklen_t length = sizeof offsets;
    if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
        return -errno;
    size_t frame = sizeof(struct xdp_desc), address = sizeof(uint64_t);
    int status =
        make_ring(fd, XDP_PGOFF_RX_RING, frame, &offsets.rx, &side->receive) ?:
        make_ring(fd, XDP_PGOFF_TX_RING, frame, &offsets.tx, &side->transmit) ?:
        make_ring(fd, XDP_UMEM_PGOFF_FILL_RING, address, &offsets.fr, &side->fill) ?:
        make_ring(fd, XDP_UMEM_PGOFF_COMPLETION_RING, address, &offsets.cr, &side->completion);
    if (status < 0)
        return status;
    struct sockaddr_xdp where = {
        .sxdp_family = AF_XDP,
        .sxdp_ifindex = index,
        .sxdp_flags = shared < 0 ? XDP_COPY | XDP_USE_NEED_WAKEUP : XDP_SHARED_UMEM,
        .sxdp_shared_umem_fd = shared < 0 ? 0 : (uint32_t)shared,
    };
    if (bind(fd, (struct sockaddr *)&where, sizeof where) < 0)
        return -errno;
    return attach(side, index);
}

static uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static void store(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void refill(struct ring *fill) {
    uint32_t room = RING - (fill->own - load(fill->consumer));
    for (; room > 0 && free_count > 0; room--)
        ((uint64_t *)fill->entries)[fill->own++ % RING] = free_chunks[--free_count];
    store(fill->producer, fill->own);
}

static void reclaim(struct ring *completion) {
    uint32_t end = load(completion->producer);
    while (completion->own != end)
        free_chunks[free_count++] =
            ((uint64_t *)completion->entries)[completion->own++ % RING] & ~(uint64_t)(CHUNK - 1);
    store(completion->consumer, completion->own);
}

static void send_all(struct side *side) {
    store(side->transmit.producer, side->transmit.own);
    int attempts = 0;
    while (load(side->transmit.consumer) != side->transmit.own && attempts++ < 64)
        sendto(side->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
    reclaim(&side->completion);
}

static unsigned int forward(struct side *in, struct side *out, uint8_t *memory,
                            const struct port *from, const struct port *to) {
    uint32_t waiting = load(in->receive.producer) - in->receive.own;
    uint32_t room = RING - (out->transmit.own - load(out->transmit.consumer));
    uint32_t count = waiting < FORWARDER_BATCH ? waiting : FORWARDER_BATCH;
    if (count > room)
        count = room;
    for (uint32_t index = 0; index < count; index++) {
        struct xdp_desc frame = ((struct xdp_desc *)in->receive.entries)[in->receive.own++ % RING];
        if (rewrite(memory + frame.addr, frame.len, from, to))
            ((struct xdp_desc *)out->transmit.entries)[out->transmit.own++ % RING] =
                (struct xdp_desc){.addr = frame.addr, .len = frame.len};
        else
            free_chunks[free_count++] = frame.addr & ~(uint64_t)(CHUNK - 1);
    }
    store(in->receive.consumer, in->receive.own);
    if (count > 0)
        send_all(out);
    refill(&in->fill);
    return count;
}

int forward_xdp(const struct port ports[2]) {
    struct side sides[2] = {{0}};
    uint8_t *memory = mmap(NULL, (size_t)CHUNK * CHUNKS, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    free_count = 0;
    for (uint32_t chunk = CHUNKS; chunk > 0; chunk--)
        free_chunks[free_count++] = (uint64_t)(chunk - 1) * CHUNK;
    for (int index = 0; index < 2; index++) {
        int status =
            open_side(&sides[index], ports[index].interface, memory, index == 0 ? -1 : sides[0].fd);
        if (status < 0)
            return status;
        refill(&sides[index].fill);
    }
    struct pollfd wait[2] = {{.fd = sides[0].fd, .events = POLLIN},
                             {.fd = sides[1].fd, .events = POLLIN}};
    for (;;) {
        unsigned int count = 0;
        for (int index = 0; index < 2; index++)
            count +=
                forward(&sides[index], &sides[1 - index], memory, &ports[index], &ports[1 - index]);
        if (count == 0)
            poll(wait, 2, FORWARDER_WAIT_MS);
    }
}
