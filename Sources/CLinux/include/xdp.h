// AF_XDP sockets over the kernel's own header: a umem, four rings, and what Swift cannot express (acquire
// and release on memory shared with the kernel). Functions return a negative errno on failure. No policy
// here.
#pragma once

#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <stdint.h>
#include <sys/types.h>

/// One of the four rings, as the kernel laid it out. `entries` are `struct xdp_desc` for the receive and
/// transmit rings, addresses (`uint64_t`) for the fill and completion rings.
struct sluice_xsk_ring {
    uint32_t *producer;
    uint32_t *consumer;
    /// XDP_RING_NEED_WAKEUP, in the fill and transmit rings.
    uint32_t *flags;
    void *entries;
    void *memory;
    size_t length;
};

/// Which ring; the values are XDP's socket options.
enum sluice_xsk_ring_kind {
    SLUICE_XSK_RECEIVE = XDP_RX_RING,
    SLUICE_XSK_TRANSMIT = XDP_TX_RING,
    SLUICE_XSK_FILL = XDP_UMEM_FILL_RING,
    SLUICE_XSK_COMPLETION = XDP_UMEM_COMPLETION_RING,
};

int sluice_xsk_open(void);
/// Registers memory as the umem of a socket that shares nobody else's.
int sluice_xsk_register(int fd, void *memory, uint64_t length, uint32_t chunk_size);
/// Makes a ring of `count` entries, a power of two, and maps it.
int sluice_xsk_ring(int fd, enum sluice_xsk_ring_kind kind, uint32_t count,
                    struct sluice_xsk_ring *ring);
void sluice_xsk_unmap(struct sluice_xsk_ring *ring);
/// From here on the socket works. `shared` is a bound socket whose umem this one shares, or -1.
int sluice_xsk_bind(int fd, uint32_t ifindex, uint32_t queue, uint16_t flags, int shared);
/// 1 if the driver reads and writes the umem itself.
int sluice_xsk_is_zero_copy(int fd);
int sluice_xsk_statistics(int fd, struct xdp_statistics *statistics);
/// How many frames one `sluice_xsk_transmit` may send; older kernels (before 6.17) keep to 32.
int sluice_xsk_transmit_budget(int fd, int frames);
/// Lets the kernel look at the transmit ring: 0, or a negative errno (-EAGAIN: it has more to do).
int sluice_xsk_transmit(int fd);
/// Lets the driver look at the fill ring.
int sluice_xsk_receive(int fd);
int sluice_epoll_open(void);
/// Makes an epoll instance readable while `fd` is.
int sluice_epoll_add(int epoll, int fd);
/// Queues that the interface receives by; 1 where it knows no channels.
int sluice_interface_receive_queues(const char *name);

static inline uint32_t sluice_acquire_u32(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void sluice_release_u32(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
