// Netlink sockets: the constants and structures of linux/rtnetlink.h and its companions, and
// the calls on a socket. Functions return a negative errno on failure. Messages are not looked at.
#pragma once

#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <sys/types.h>

/// A non-blocking socket of a netlink family (NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_GENERIC) in the calling
/// thread's network namespace, with strict checking of dumps and extended error messages where the
/// kernel knows them.
int sluice_netlink_open(int family, int receive_buffer_bytes);
/// Joins a multicast group (RTNLGRP_*).
int sluice_netlink_join(int fd, int group);
int sluice_netlink_send(int fd, const void *message, size_t length);
/// One datagram from the kernel; others' are skipped. Waits at most `wait_ms`, then -EAGAIN. A
/// datagram larger than the buffer is -EMSGSIZE, lost multicast messages are -ENOBUFS.
ssize_t sluice_netlink_receive(int fd, void *buffer, size_t capacity, int wait_ms);

/// Opens a file of /proc/sys for reading; it stays bound to the namespace of the opening thread.
int sluice_setting_open(const char *path);
/// The number in it, which is never negative for the settings read here, or a negative errno.
long sluice_setting_read(int fd);
