#define _GNU_SOURCE
#include "netns.h"

#include <errno.h>
#include <sched.h>

int sluice_enter_network_namespace(int fd) { return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0; }

int sluice_new_network_namespace(void) { return unshare(CLONE_NEWNET) < 0 ? -errno : 0; }
