#define _GNU_SOURCE
#include "lab.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(SLUICE_SPAWN_NEW_SESSION == POSIX_SPAWN_SETSID, "as <spawn.h> numbers it");

static int result(int value) { return value < 0 ? -errno : value; }

int sluice_private_mounts(void) {
    if (unshare(CLONE_NEWNS) < 0)
        return -errno;
    return result(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
}

int sluice_enter_mount_namespace(int fd) {
    // setns refuses a thread that shares its root and working directory with others.
    if (unshare(CLONE_FS) < 0)
        return -errno;
    return result(setns(fd, CLONE_NEWNS));
}

int sluice_mount(const char *type, const char *target, const char *options) {
    return result(mount(type, target, type, MS_NOSUID | MS_NODEV, options));
}

int sluice_bind_mount(const char *source, const char *target) {
    return result(mount(source, target, NULL, MS_BIND, NULL));
}

int sluice_unmount(const char *target) { return result(umount2(target, MNT_DETACH)); }

int sluice_process_descriptor(int pid) { return result((int)syscall(SYS_pidfd_open, pid, 0)); }

int sluice_memory_file(const char *name) { return result(memfd_create(name, MFD_CLOEXEC)); }

char **sluice_environment(void) { return environ; }

int sluice_run_on(unsigned long processors) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned int number = 0; number < 8 * sizeof processors; number++)
        if (processors >> number & 1)
            CPU_SET(number, &set);
    return result(sched_setaffinity(0, sizeof set, &set));
}

static int offload(const char *interface, struct ethtool_value *value) {
    struct ifreq request = {.ifr_data = (char *)value};
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = result(ioctl(fd, SIOCETHTOOL, &request));
    close(fd);
    return status;
}

int sluice_offload_setting(const char *interface, unsigned int command) {
    struct ethtool_value value = {.cmd = command};
    int status = offload(interface, &value);
    return status < 0 ? status : value.data != 0;
}

int sluice_set_offload(const char *interface, unsigned int command, unsigned int value) {
    struct ethtool_value request = {.cmd = command, .data = value};
    return offload(interface, &request);
}

static void do_nothing(int signal) { (void)signal; }

void sluice_accept_interruptions(void) {
    struct sigaction action = {.sa_handler = do_nothing};
    sigaction(SIGUSR1, &action, NULL);
}
