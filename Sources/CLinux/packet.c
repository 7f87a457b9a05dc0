#define _GNU_SOURCE
#include "packet.h"

#include <arpa/inet.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(struct sluice_message) == sizeof(struct mmsghdr),
               "sluice_message must be laid out as mmsghdr");
_Static_assert(sizeof(struct virtio_net_hdr) == 10, "the virtio header without queue fields");

static int result(int value) { return value < 0 ? -errno : value; }

int sluice_packet_open(void) {
    return result(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int sluice_packet_option(int fd, int name, int value) {
    return result(setsockopt(fd, SOL_PACKET, name, &value, sizeof value));
}

int sluice_socket_option(int fd, int name, int value) {
    return result(setsockopt(fd, SOL_SOCKET, name, &value, sizeof value));
}

void sluice_wait_for_receivers(void) {
    // The kernel receives within an RCU read section, and this one waits for those. It is refused where CPUs run
    // without a tick, which then have ten milliseconds.
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0)
        usleep(10000);
}

int sluice_packet_bind(int fd, unsigned int ifindex) {
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = (int)ifindex,
    };
    return result(bind(fd, (struct sockaddr *)&address, sizeof address));
}

int sluice_packet_ring(int fd, unsigned int block_size, unsigned int block_count,
                       unsigned int frame_size, unsigned int timeout_ms, struct sluice_ring *ring) {
    struct tpacket_req3 request = {
        .tp_block_size = block_size,
        .tp_block_nr = block_count,
        .tp_frame_size = frame_size,
        .tp_frame_nr = block_size / frame_size * block_count,
        .tp_retire_blk_tov = timeout_ms,
    };
    // V2's request is the first half of V3's.
    socklen_t size = timeout_ms ? sizeof request : sizeof(struct tpacket_req);
    if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, size) < 0)
        return -errno;
    size_t length = (size_t)block_size * block_count;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    ring->memory = memory;
    ring->length = length;
    return 0;
}

void sluice_packet_unmap(struct sluice_ring *ring) {
    if (ring->memory)
        munmap(ring->memory, ring->length);
    ring->memory = NULL;
}

int sluice_packet_statistics(int fd, unsigned int *packets, unsigned int *drops) {
    struct tpacket_stats_v3 statistics = {0};
    socklen_t size = sizeof statistics;
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) < 0)
        return -errno;
    *packets = statistics.tp_packets;
    *drops = statistics.tp_drops;
    return 0;
}

int sluice_socket_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return errno;
    return error;
}

int sluice_send_messages(int fd, struct sluice_message *messages, unsigned int count) {
    return result(sendmmsg(fd, (struct mmsghdr *)messages, count, MSG_DONTWAIT));
}

ssize_t sluice_receive_frame(int fd, const struct iovec *vector, unsigned int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = count};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_TRUNC);
    return length < 0 ? -errno : length;
}

unsigned int sluice_interface_index(const char *name) { return if_nametoindex(name); }

static int interface_request(int fd, const char *name, unsigned long operation,
                             struct ifreq *request) {
    if (strlen(name) >= sizeof request->ifr_name)
        return -ENODEV;
    memset(request, 0, sizeof *request);
    strcpy(request->ifr_name, name);
    return result(ioctl(fd, operation, request));
}

int sluice_interface_flags(int fd, const char *name) {
    struct ifreq request;
    int status = interface_request(fd, name, SIOCGIFFLAGS, &request);
    return status < 0 ? status : (unsigned short)request.ifr_flags;
}

int sluice_interface_mtu(int fd, const char *name) {
    struct ifreq request;
    int status = interface_request(fd, name, SIOCGIFMTU, &request);
    return status < 0 ? status : request.ifr_mtu;
}

int sluice_interface_address(int fd, const char *name, uint8_t *address) {
    struct ifreq request;
    int status = interface_request(fd, name, SIOCGIFHWADDR, &request);
    if (status == 0)
        memcpy(address, request.ifr_hwaddr.sa_data, ETH_ALEN);
    return status;
}

_Bool sluice_interface_exists(unsigned int ifindex) {
    char name[IF_NAMESIZE];
    return if_indextoname(ifindex, name) != NULL;
}
