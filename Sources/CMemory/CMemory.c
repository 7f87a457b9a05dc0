#define _GNU_SOURCE
#include "CMemory.h"

#include <stdint.h>
#include <sys/mman.h>

/// Tables that span more than a few of them lie in huge pages, so that a random access does not also miss
/// the TLB.
#define HUGE_PAGE ((size_t)2 << 20)

void *sluice_map(size_t length) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (length >= 4 * HUGE_PAGE)
        madvise(memory, length, MADV_HUGEPAGE);
    return memory;
}

void sluice_unmap(void *memory, size_t length) { munmap(memory, length); }
