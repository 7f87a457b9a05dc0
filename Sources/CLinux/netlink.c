#include "netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_option(int fd, int level, int name, int value) {
    // Every option set here only makes answers better; old kernels may lack them.
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

int sluice_netlink_open(int family, int receive_buffer_bytes) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);
    if (fd < 0) return -errno;
    struct sockaddr_nl own = {.nl_family = AF_NETLINK};
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    set_option(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer_bytes);
    set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer_bytes);
    set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    set_option(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    set_option(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    return fd;
}

int sluice_netlink_join(int fd, int group) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
        return -errno;
    }
    return 0;
}

int sluice_netlink_send(int fd, const void *message, size_t length) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do {
        sent = sendto(fd, message, length, 0, (struct sockaddr *)&kernel, sizeof kernel);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

ssize_t sluice_netlink_receive(int fd, void *buffer, size_t capacity, int wait_ms) {
    for (;;) {
        struct sockaddr_nl sender = {0};
        socklen_t size = sizeof sender;
        ssize_t length =
            recvfrom(fd, buffer, capacity, MSG_TRUNC, (struct sockaddr *)&sender, &size);
        if (length >= 0 && sender.nl_pid != 0) continue;
        if (length >= 0) return (size_t)length > capacity ? -EMSGSIZE : length;
        if (errno == EINTR) continue;
        if (errno != EAGAIN || wait_ms == 0) return -errno;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int count = poll(&ready, 1, wait_ms);
        if (count == 0) return -EAGAIN;
        if (count < 0 && errno != EINTR) return -errno;
    }
}

int sluice_setting_open(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long sluice_setting_read(int fd) {
    char text[24] = {0};
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length < 0) return -errno;
    return strtol(text, NULL, 10);
}
