#define _GNU_SOURCE
#include "tun.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int named(struct ifreq *request, const char *name) {
    memset(request, 0, sizeof *request);
    if (name[0] == 0 || strlen(name) >= sizeof request->ifr_name)
        return -EINVAL;
    strcpy(request->ifr_name, name);
    return 0;
}

int sluice_tap_open(const char *name) {
    struct ifreq request;
    int status = named(&request, name);
    if (status < 0)
        return status;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
    if (ioctl(fd, TUNSETIFF, &request) < 0 ||
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0) {
        status = -errno;
        close(fd);
        return status;
    }
    return fd;
}

/// One ioctl on a socket that is opened for it in the caller's network namespace.
static int configure(unsigned long operation, struct ifreq *request) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = ioctl(fd, operation, request) < 0 ? -errno : 0;
    close(fd);
    return status;
}

int sluice_interface_up(const char *name, _Bool arp) {
    struct ifreq request;
    int status = named(&request, name);
    if (status == 0)
        status = configure(SIOCGIFFLAGS, &request);
    if (status < 0)
        return status;
    request.ifr_flags |= IFF_UP;
    if (!arp)
        request.ifr_flags |= IFF_NOARP;
    return configure(SIOCSIFFLAGS, &request);
}

int sluice_interface_set_mtu(const char *name, int mtu) {
    struct ifreq request;
    int status = named(&request, name);
    request.ifr_mtu = mtu;
    return status < 0 ? status : configure(SIOCSIFMTU, &request);
}

int sluice_interface_set_queue(const char *name, int frames) {
    struct ifreq request;
    int status = named(&request, name);
    request.ifr_qlen = frames;
    return status < 0 ? status : configure(SIOCSIFTXQLEN, &request);
}

uint64_t sluice_interface_transmit_drops(const char *name) {
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0)
        return 0;
    uint64_t drops = 0;
    for (struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
        if (entry->ifa_addr && entry->ifa_addr->sa_family == AF_PACKET && entry->ifa_data &&
            strcmp(entry->ifa_name, name) == 0)
            drops = ((struct rtnl_link_stats *)entry->ifa_data)->tx_dropped;
    }
    freeifaddrs(list);
    return drops;
}

ssize_t sluice_read_vector(int fd, const struct iovec *vector, int count) {
    ssize_t length = readv(fd, vector, count);
    return length < 0 ? -errno : length;
}

ssize_t sluice_write_vector(int fd, const struct iovec *vector, int count) {
    ssize_t length = writev(fd, vector, count);
    return length < 0 ? -errno : length;
}
