// AF_PACKET, with the ring that Sluice's own ports have: slots of 2 KB, larger frames from the socket's queue.
#define _GNU_SOURCE
#include "forwarder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SLOT = 2048, SLOTS = 4096, BLOCK = 1 << 18, LARGE = 65536 + 64, LARGES = 64, HEADER = 10 };

struct side {
    int fd;
    uint8_t *ring;
    unsigned int head, held;
    uint8_t *large;
    unsigned int large_held;
    /// What waits to be sent here.
    struct mmsghdr messages[FORWARDER_BATCH];
    struct iovec frames[FORWARDER_BATCH];
    unsigned int queued;
};

static int open_side(struct side *side, const char *interface) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    side->fd = fd;
    int version = TPACKET_V2, one = 1, buffer = 32 << 20;
    struct tpacket_req ring = {.tp_block_size = BLOCK,
                               .tp_block_nr = SLOT * SLOTS / BLOCK,
                               .tp_frame_size = SLOT,
                               .tp_frame_nr = SLOTS};
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(interface)};
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &one, sizeof one) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0)
        return -errno;
    side->ring =
        mmap(NULL, (size_t)SLOT * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (side->ring == MAP_FAILED)
        return -errno;
    side->large = malloc((size_t)LARGE * LARGES);
    for (int index = 0; index < FORWARDER_BATCH; index++) {
        side->messages[index].msg_hdr.msg_iov = &side->frames[index];
        side->messages[index].msg_hdr.msg_iovlen = 1;
    }
    return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

static void send_all(struct side *side) {
    unsigned int next = 0;
    while (next < side->queued) {
        int sent = sendmmsg(side->fd, side->messages + next, side->queued - next, MSG_DONTWAIT);
        // What the kernel does not take is lost.
        next += sent > 0 ? (unsigned int)sent : 1;
    }
    side->queued = 0;
}

/// The virtio header and the frame behind it, or NULL.
static uint8_t *receive(struct side *side, unsigned int *length) {
    if (side->held == SLOTS)
        return NULL;
    uint8_t *slot = side->ring + (size_t)side->head * SLOT;
    struct tpacket2_hdr *header = (struct tpacket2_hdr *)slot;
    uint32_t status = __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE);
    if (!(status & TP_STATUS_USER))
        return NULL;
    bool is_whole = header->tp_snaplen == header->tp_len;
    if (!is_whole && side->large_held == LARGES)
        return NULL;
    side->head = side->head + 1 == SLOTS ? 0 : side->head + 1;
    side->held++;
    *length = is_whole ? header->tp_len : 0;
    if (is_whole)
        return slot + header->tp_mac - HEADER;
    if (!(status & TP_STATUS_COPY))
        return slot;
    uint8_t *large = side->large + (size_t)LARGE * side->large_held;
    ssize_t size = recv(side->fd, large, LARGE, MSG_DONTWAIT);
    if (size <= HEADER)
        return slot;
    side->large_held++;
    *length = (unsigned int)size - HEADER;
    return large;
}

static void release(struct side *side) {
    unsigned int index = (side->head + SLOTS - side->held) % SLOTS;
    for (; side->held > 0; side->held--) {
        struct tpacket2_hdr *header = (struct tpacket2_hdr *)(side->ring + (size_t)index * SLOT);
        __atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        index = index + 1 == SLOTS ? 0 : index + 1;
    }
    side->large_held = 0;
}

static unsigned int forward(struct side *in, struct side *out, const struct port *from,
                            const struct port *to) {
    unsigned int count = 0, length = 0;
    uint8_t *start;
    while (count < FORWARDER_BATCH && (start = receive(in, &length)) != NULL) {
        count++;
        if (!rewrite(start + HEADER, length, from, to))
            continue;
        out->frames[out->queued++] = (struct iovec){start, HEADER + length};
    }
    if (out->queued > 0)
        send_all(out);
    release(in);
    return count;
}

int forward_packet(const struct port ports[2]) {
    static struct side sides[2];
    for (int index = 0; index < 2; index++) {
        memset(&sides[index], 0, sizeof sides[index]);
        int status = open_side(&sides[index], ports[index].interface);
        if (status < 0)
            return status;
    }
    struct pollfd wait[2] = {{.fd = sides[0].fd, .events = POLLIN},
                             {.fd = sides[1].fd, .events = POLLIN}};
    for (;;) {
        unsigned int count = 0;
        for (int index = 0; index < 2; index++)
            count += forward(&sides[index], &sides[1 - index], &ports[index], &ports[1 - index]);
        if (count == 0)
            poll(wait, 2, FORWARDER_WAIT_MS);
    }
}
