// TAP devices: /dev/net/tun's ioctls, which are variadic and so out of Swift's reach.
#pragma once

#include <linux/if_tun.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/// Makes a TAP device with virtio headers that lives as long as the descriptor; -EBUSY if the name is
/// taken. Checksum and TCP segmentation offload are on: partial checksums and super-frames come through.
int sluice_tap_open(const char *name);
/// Brings a device up (IFF_UP), without ARP if `arp` is false.
int sluice_interface_up(const char *name, _Bool arp);
int sluice_interface_set_mtu(const char *name, int mtu);
/// Frames that may wait in the device for the reader.
int sluice_interface_set_queue(const char *name, int frames);
/// Frames that the device dropped instead of transmitting (for a TAP: its reader was too slow).
uint64_t sluice_interface_transmit_drops(const char *name);
ssize_t sluice_read_vector(int fd, const struct iovec *vector, int count);
ssize_t sluice_write_vector(int fd, const struct iovec *vector, int count);
