#define _GNU_SOURCE
#include "control.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int failed(int fd) {
    int error = errno;
    if (fd >= 0) close(fd);
    return -error;
}

static int abstract_address(const char *name, size_t length, struct sockaddr_un *address,
                            socklen_t *size) {
    if (length == 0 || length >= sizeof address->sun_path) return -EINVAL;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + 1, name, length);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    return 0;
}

int sluice_listen_abstract(const char *name, size_t length) {
    struct sockaddr_un address;
    socklen_t size;
    int error = abstract_address(name, length, &address, &size);
    if (error) return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return failed(fd);
    if (bind(fd, (struct sockaddr *)&address, size) < 0) return failed(fd);
    if (listen(fd, 64) < 0) return failed(fd);
    return fd;
}

int sluice_connect_abstract(const char *name, size_t length) {
    struct sockaddr_un address;
    socklen_t size;
    int error = abstract_address(name, length, &address, &size);
    if (error) return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(fd);
    if (connect(fd, (struct sockaddr *)&address, size) < 0) return failed(fd);
    return fd;
}

int sluice_accept(int fd) {
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return client < 0 ? -errno : client;
}

int sluice_peer(int fd, uint32_t *uid, int32_t *pid) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -errno;
    *uid = peer.uid;
    *pid = peer.pid;
    return 0;
}

int sluice_wake_open(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int sluice_wake(int fd) { return eventfd_write(fd, 1) < 0 ? -errno : 0; }

int sluice_wake_clear(int fd) {
    eventfd_t value;
    return eventfd_read(fd, &value) < 0 ? -errno : 0;
}

int sluice_signals_open(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (error) return -error;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int sluice_signals_next(int fd) {
    struct signalfd_siginfo info;
    ssize_t size = read(fd, &info, sizeof info);
    if (size < 0) return errno == EAGAIN ? 0 : -errno;
    return (int)info.ssi_signo;
}

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int sluice_network_namespace_cookie(uint64_t *cookie) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    socklen_t size = sizeof *cookie;
    int result = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) < 0 ? -errno : 0;
    close(fd);
    return result;
}

int sluice_capabilities(uint64_t *effective) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) < 0) return -errno;
    *effective = (uint64_t)data[1].effective << 32 | data[0].effective;
    return 0;
}

int sluice_pin_thread(unsigned int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

cpu_set_t sluice_stay_on_cpu(void) {
    cpu_set_t former;
    CPU_ZERO(&former);
    int cpu = sched_getcpu();
    if (cpu < 0 || sched_getaffinity(0, sizeof former, &former) < 0) return former;
    sluice_pin_thread((unsigned int)cpu);
    return former;
}

int sluice_allow_cpus(cpu_set_t cpus) {
    return sched_setaffinity(0, sizeof cpus, &cpus) < 0 ? -errno : 0;
}

int sluice_usable_cpus(unsigned int *last) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0) return -errno;
    for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set)) *last = cpu;
    }
    return CPU_COUNT(&set);
}

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sluice_monotonic(void) { return nanoseconds(CLOCK_MONOTONIC); }
uint64_t sluice_tick_clock(void) { return nanoseconds(CLOCK_MONOTONIC_COARSE); }
uint64_t sluice_realtime(void) { return nanoseconds(CLOCK_REALTIME); }
