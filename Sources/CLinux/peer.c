#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int sluice_plain_tap_open(const char *name) {
    struct ifreq request = {0};
    if (name[0] == 0 || strlen(name) >= sizeof request.ifr_name) return -EINVAL;
    strcpy(request.ifr_name, name);
    request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return -errno;
    if (ioctl(fd, TUNSETIFF, &request) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int sluice_packet_sender_open(uint32_t mark, uint32_t user, uint32_t group) {
    // A socket belongs to the file-system user and group of the thread that opens it, with the thread's
    // supplementary groups (xt_owner, f_cred). The library's setgroups would change every thread's.
    gid_t groups[NGROUPS_MAX];
    long count = syscall(SYS_getgroups, NGROUPS_MAX, groups);
    if (count < 0 || syscall(SYS_setgroups, 0, NULL) < 0) return -errno;
    int groupBefore = setfsgid(group);
    int before = setfsuid(user);
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    int error = errno;
    setfsuid((uid_t)before);
    setfsgid((gid_t)groupBefore);
    if (syscall(SYS_setgroups, count, groups) < 0 && fd >= 0) {
        error = errno;
        close(fd);
        fd = -1;
    }
    if (fd < 0) return -error;
    int yes = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) < 0 ||
        // A source that is nobody's own yet must still be one that a route can be asked for.
        setsockopt(fd, SOL_IP, IP_FREEBIND, &yes, sizeof yes) < 0) {
        error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int sluice_packet_sender_send(int fd, const uint8_t *packet, size_t length) {
    struct sockaddr_in source = {.sin_family = AF_INET};
    struct sockaddr_in destination = {.sin_family = AF_INET};
    if (length < 20) return -EINVAL;
    memcpy(&source.sin_addr, packet + 12, 4);
    memcpy(&destination.sin_addr, packet + 16, 4);
    // The route is looked up with the socket's own source and TOS, not with the packet's.
    int tos = packet[1];
    if (bind(fd, (struct sockaddr *)&source, sizeof source) < 0 ||
        setsockopt(fd, SOL_IP, IP_TOS, &tos, sizeof tos) < 0)
        return -errno;
    ssize_t sent;
    do {
        sent = sendto(fd, packet, length, 0, (struct sockaddr *)&destination, sizeof destination);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}
