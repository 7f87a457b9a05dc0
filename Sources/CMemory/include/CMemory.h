// Memory as the packet path wants it: mapped without being touched, in large pages, and asked for ahead.
#pragma once

#include <stddef.h>

/// Anonymous memory that reads as zeros; NULL where there is none. Pages nobody touches cost nothing.
void *sluice_map(size_t length);
void sluice_unmap(void *memory, size_t length);

/// Asks the cache for the line at `address`, which need not be valid.
static inline void sluice_prefetch(const void *address) { __builtin_prefetch(address); }
