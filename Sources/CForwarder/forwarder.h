// What both roads share.
#pragma once

#include <stdbool.h>
#include <string.h>

#include "CForwarder.h"

#define FORWARDER_BATCH 256
#define FORWARDER_WAIT_MS 100

struct port {
    const char *interface;
    /// Frames to this address are taken; it becomes the source of what is sent here.
    uint8_t address[6];
    /// Where frames sent here go.
    uint8_t neighbour[6];
};

/// Whether the frame is IPv4 to this port; if so, its addresses become those of the other one.
static inline bool rewrite(uint8_t *frame, unsigned int length, const struct port *from,
                           const struct port *to) {
    if (length < 34 || memcmp(frame, from->address, 6) != 0 || frame[12] != 8 || frame[13] != 0)
        return false;
    memcpy(frame, to->neighbour, 6);
    memcpy(frame + 6, to->address, 6);
    return true;
}

// They return only what went wrong.
int forward_packet(const struct port ports[2]);
int forward_xdp(const struct port ports[2]);
