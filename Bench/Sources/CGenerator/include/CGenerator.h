// A load of UDP datagrams that costs next to nothing to make: the kernel runs an XDP program on pages of its
// own and sends what it wrote (BPF_PROG_TEST_RUN with live frames, Linux 5.18).
#ifndef CGENERATOR_H
#define CGENERATOR_H

#include <stdint.h>

struct generator_load {
    /// The frames leave by it; it must be in the calling thread's network namespace. A veth's other end
    /// must take frames by NAPI (GRO on, or an XDP program).
    const char *interface;
    uint8_t source_address[6], target_address[6];
    /// Host byte order.
    uint32_t source, destination;
    uint16_t port;
    /// Source ports from 1024 on, drawn at random; a power of two.
    uint16_t flows;
    /// Of the whole frame, 60 to 1514 bytes: without the frame check sequence, 60 is a "64-byte frame".
    uint16_t length;
};

/// Sends `count` frames, some hundred thousand at least: each call takes 20 ms to begin and to end.
/// Returns 0 or a negative errno.
int generator_run(const struct generator_load *load, uint32_t count);

#endif
