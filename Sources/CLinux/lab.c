#define _GNU_SOURCE
#include "lab.h"

#include <errno.h>
#include <sched.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
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
