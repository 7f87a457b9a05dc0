#define _GNU_SOURCE
#include "xdp.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

// Linux 6.17; the header of Debian 12 is older.
#define MAX_TX_SKB_BUDGET 9

static int result(ssize_t value) { return value < 0 ? -errno : (int)value; }

int sluice_xsk_open(void) { return result(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)); }

int sluice_xsk_register(int fd, void *memory, uint64_t length, uint32_t chunk_size) {
    struct xdp_umem_reg request = {
        .addr = (uint64_t)(uintptr_t)memory,
        .len = length,
        .chunk_size = chunk_size,
    };
    return result(setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &request, sizeof request));
}

int sluice_xsk_ring(int fd, enum sluice_xsk_ring_kind kind, uint32_t count,
                    struct sluice_xsk_ring *ring) {
    struct xdp_mmap_offsets all;
    socklen_t size = sizeof all;
    if (setsockopt(fd, SOL_XDP, kind, &count, sizeof count) < 0 ||
        getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &all, &size) < 0)
        return -errno;
    const struct xdp_ring_offset *offsets;
    size_t entry = sizeof(struct xdp_desc);
    off_t page;
    switch (kind) {
    case SLUICE_XSK_RECEIVE:
        offsets = &all.rx;
        page = XDP_PGOFF_RX_RING;
        break;
    case SLUICE_XSK_TRANSMIT:
        offsets = &all.tx;
        page = XDP_PGOFF_TX_RING;
        break;
    case SLUICE_XSK_FILL:
        offsets = &all.fr;
        page = XDP_UMEM_PGOFF_FILL_RING;
        entry = sizeof(uint64_t);
        break;
    case SLUICE_XSK_COMPLETION:
        offsets = &all.cr;
        page = XDP_UMEM_PGOFF_COMPLETION_RING;
        entry = sizeof(uint64_t);
        break;
    default:
        return -EINVAL;
    }
    size_t length = offsets->desc + count * entry;
    uint8_t *memory =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, page);
    if (memory == MAP_FAILED)
        return -errno;
    *ring = (struct sluice_xsk_ring){
        .producer = (uint32_t *)(memory + offsets->producer),
        .consumer = (uint32_t *)(memory + offsets->consumer),
        .flags = (uint32_t *)(memory + offsets->flags),
        .entries = memory + offsets->desc,
        .memory = memory,
        .length = length,
    };
    return 0;
}

void sluice_xsk_unmap(struct sluice_xsk_ring *ring) {
    if (ring->memory)
        munmap(ring->memory, ring->length);
    ring->memory = NULL;
}

int sluice_xsk_bind(int fd, uint32_t ifindex, uint32_t queue, uint16_t flags, int shared) {
    struct sockaddr_xdp address = {
        .sxdp_family = AF_XDP,
        .sxdp_flags = shared < 0 ? flags : XDP_SHARED_UMEM,
        .sxdp_ifindex = ifindex,
        .sxdp_queue_id = queue,
        .sxdp_shared_umem_fd = shared < 0 ? 0 : (uint32_t)shared,
    };
    return result(bind(fd, (struct sockaddr *)&address, sizeof address));
}

int sluice_xsk_is_zero_copy(int fd) {
    struct xdp_options options = {0};
    socklen_t size = sizeof options;
    if (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &size) < 0)
        return -errno;
    return (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

int sluice_xsk_statistics(int fd, struct xdp_statistics *statistics) {
    socklen_t size = sizeof *statistics;
    return result(getsockopt(fd, SOL_XDP, XDP_STATISTICS, statistics, &size));
}

int sluice_xsk_transmit_budget(int fd, int frames) {
    return result(setsockopt(fd, SOL_XDP, MAX_TX_SKB_BUDGET, &frames, sizeof frames));
}

int sluice_xsk_transmit(int fd) { return result(sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0)); }

int sluice_xsk_receive(int fd) { return result(recvfrom(fd, NULL, 0, MSG_DONTWAIT, NULL, NULL)); }

int sluice_epoll_open(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

int sluice_epoll_add(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN};
    return result(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

int sluice_interface_receive_queues(const char *name) {
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = {.ifr_data = (char *)&channels};
    if (strlen(name) >= sizeof request.ifr_name)
        return -ENODEV;
    strcpy(request.ifr_name, name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = result(ioctl(fd, SIOCETHTOOL, &request));
    close(fd);
    int queues = (int)(channels.rx_count + channels.combined_count);
    return status < 0 || queues < 1 ? 1 : queues;
}
