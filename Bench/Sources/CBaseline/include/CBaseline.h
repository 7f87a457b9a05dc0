// The same work in bare C, so that every number of the benchmark has a neighbour from the same run on
// the same machine. Not a second implementation: only what the timing loops need.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct baseline_view {
    uint32_t source, destination;
    uint16_t source_port, destination_port;
    uint8_t protocol, flags;
    uint16_t total_length;
};

/// Parses an IPv4 packet with a TCP header behind an Ethernet header, checks included; 0 if refused.
int baseline_parse(const uint8_t *frame, size_t length, struct baseline_view *view);

/// A table of `capacity` entries (a power of two, at most half full) found by both ends of a flow.
struct baseline_table;
struct baseline_table *baseline_table_make(size_t capacity);
void baseline_table_free(struct baseline_table *table);
void baseline_table_add(struct baseline_table *table, const struct baseline_view *view);
/// The entry's number, or -1.
int64_t baseline_table_find(const struct baseline_table *table, const struct baseline_view *view);

/// Rewrites both addresses and ports and decrements the time to live, checksums kept in step.
void baseline_rewrite(uint8_t *frame, uint32_t source, uint32_t destination, uint16_t source_port,
                      uint16_t destination_port);

/// Everything of these for `count` frames of `stride` bytes in a row, looking ahead in batches of 32: parse,
/// hash, look up, count, both ends, time to live. The frames must be known to the table.
void baseline_forward(const struct baseline_table *table, uint8_t *frames, size_t stride, size_t count,
                      uint32_t source, uint32_t destination, uint16_t source_port,
                      uint16_t destination_port);
