#include "CBaseline.h"

#include <stdlib.h>
#include <string.h>

static uint16_t load16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static uint32_t load32(const uint8_t *at) {
    return (uint32_t)load16(at) << 16 | load16(at + 2);
}

static void store16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}


static uint16_t fold(uint32_t sum) {
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)((sum & 0xFFFF) + (sum >> 16));
}

int baseline_parse(const uint8_t *frame, size_t length, struct baseline_view *view) {
    if (length < 34 || frame[14] >> 4 != 4) return 0;
    size_t header = (size_t)(frame[14] & 15) * 4;
    if (header < 20 || 14 + header > length) return 0;
    uint32_t sum = 0;
    for (size_t offset = 0; offset < header; offset += 2) sum += load16(frame + 14 + offset);
    if (fold(sum) != 0xFFFF) return 0;
    view->total_length = load16(frame + 16);
    if (view->total_length < header || (size_t)14 + view->total_length > length) return 0;
    view->protocol = frame[23];
    view->source = load32(frame + 26);
    view->destination = load32(frame + 30);
    const uint8_t *transport = frame + 14 + header;
    if (view->protocol != 6 || view->total_length < header + 20) return 0;
    view->source_port = load16(transport);
    view->destination_port = load16(transport + 2);
    view->flags = transport[13];
    return 1;
}

struct entry {
    uint32_t source, destination;
    uint32_t ports;
    uint32_t used;
    uint64_t packets;
    uint8_t rest[40];
};

struct baseline_table {
    size_t mask;
    struct entry *entries;
};

struct baseline_table *baseline_table_make(size_t capacity) {
    struct baseline_table *table = malloc(sizeof *table);
    table->mask = capacity - 1;
    table->entries = calloc(capacity, sizeof(struct entry));
    return table;
}

void baseline_table_free(struct baseline_table *table) {
    free(table->entries);
    free(table);
}

static size_t slot(const struct baseline_table *table, const struct baseline_view *view) {
    uint64_t key = (uint64_t)view->source << 32 | view->destination;
    key ^= ((uint64_t)view->source_port << 16 | view->destination_port) * 0x9E3779B97F4A7C15u;
    key *= 0xBF58476D1CE4E5B9u;
    return (size_t)(key >> 32) & table->mask;
}

static uint32_t ports(const struct baseline_view *view) {
    return (uint32_t)view->source_port << 16 | view->destination_port;
}

void baseline_table_add(struct baseline_table *table, const struct baseline_view *view) {
    size_t at = slot(table, view);
    while (table->entries[at].used) at = (at + 1) & table->mask;
    table->entries[at] = (struct entry){view->source, view->destination, ports(view), 1, 0, {0}};
}

int64_t baseline_table_find(const struct baseline_table *table, const struct baseline_view *view) {
    size_t at = slot(table, view);
    while (table->entries[at].used) {
        const struct entry *entry = &table->entries[at];
        if (entry->source == view->source && entry->destination == view->destination &&
            entry->ports == ports(view))
            return (int64_t)at;
        at = (at + 1) & table->mask;
    }
    return -1;
}

static void replace16(uint32_t *delta, uint8_t *at, uint16_t value) {
    *delta += (uint16_t)~load16(at) + (uint32_t)value;
    store16(at, value);
}

static void apply(uint8_t *checksum, uint32_t delta) {
    store16(checksum, (uint16_t)~fold((uint16_t)~load16(checksum) + delta));
}

void baseline_rewrite(uint8_t *frame, uint32_t source, uint32_t destination, uint16_t source_port,
                      uint16_t destination_port) {
    uint32_t addresses = 0;
    for (int half = 0; half < 2; half++) {
        replace16(&addresses, frame + 26 + 2 * half, (uint16_t)(source >> (16 - 16 * half)));
        replace16(&addresses, frame + 30 + 2 * half, (uint16_t)(destination >> (16 - 16 * half)));
    }
    uint32_t header = addresses;
    replace16(&header, frame + 22, (uint16_t)(load16(frame + 22) - 0x100));
    uint32_t transport = addresses;
    replace16(&transport, frame + 34, source_port);
    replace16(&transport, frame + 36, destination_port);
    apply(frame + 24, header);
    apply(frame + 50, transport);
}

/// Frames worked on between two looks ahead.
#define BATCH 32

void baseline_forward(const struct baseline_table *table, uint8_t *frames, size_t stride, size_t count,
                      uint32_t source, uint32_t destination, uint16_t source_port,
                      uint16_t destination_port) {
    struct baseline_view views[BATCH];
    for (size_t first = 0; first < count; first += BATCH) {
        size_t batch = count - first < BATCH ? count - first : BATCH;
        for (size_t index = 0; index < batch; index++) {
            views[index] = (struct baseline_view){0};
            if (baseline_parse(frames + (first + index) * stride, stride, &views[index]))
                __builtin_prefetch(&table->entries[slot(table, &views[index])]);
        }
        for (size_t index = 0; index < batch; index++) {
            int64_t found = baseline_table_find(table, &views[index]);
            if (found < 0) continue;
            table->entries[found].packets++;
            baseline_rewrite(frames + (first + index) * stride, source, destination, source_port,
                             destination_port);
        }
    }
}
