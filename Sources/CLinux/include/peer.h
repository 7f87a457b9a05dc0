// What a namespace that meets packets as a peer needs and Swift cannot say: TAP devices without offload
// headers, and packets sent as a socket of a given user would send them.
// Functions return a negative errno on failure. No policy here.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// Makes a TAP device whose frames carry no header of any kind and no unfinished checksum. Non-blocking;
/// the device lives as long as the descriptor.
int sluice_plain_tap_open(const char *name);
/// A socket for whole IPv4 packets (IP_HDRINCL), with this mark and owned by this user and this group, with
/// no other groups.
int sluice_packet_sender_open(uint32_t mark, uint32_t user, uint32_t group);
/// Sends a whole IPv4 packet of at least 20 bytes, routed by its own source, destination and TOS.
int sluice_packet_sender_send(int fd, const uint8_t *packet, size_t length);
