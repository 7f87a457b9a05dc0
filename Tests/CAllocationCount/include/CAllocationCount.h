/* Counts heap allocations of the calling thread, for tests that claim "allocates nothing". */
#ifndef SLUICE_ALLOCATION_COUNT_H
#define SLUICE_ALLOCATION_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Whether anything is counted: not beside a sanitizer, which owns malloc. */
bool sluice_counts_allocations(void);

/* How often this thread has called malloc, calloc, realloc or posix_memalign since it began. */
uint64_t sluice_allocation_count(void);

#endif
