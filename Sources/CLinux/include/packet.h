// AF_PACKET sockets: the constants and structures of linux/if_packet.h, and the few operations that
// Swift cannot express (acquire and release on memory shared with the kernel, variadic ioctls).
// Functions return a negative errno on failure. No policy here.
#pragma once

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

// sendmmsg's vector element; <sys/socket.h> has it only under _GNU_SOURCE, which module builds of
// different importers define differently.
struct sluice_message {
    struct msghdr header;
    unsigned int sent_length;
};

struct sluice_ring {
    uint8_t *memory;
    size_t length;
};

/// A non-blocking SOCK_RAW packet socket that receives nothing until it is bound.
int sluice_packet_open(void);
int sluice_packet_option(int fd, int name, int value);
int sluice_socket_option(int fd, int name, int value);
/// Binds to an interface with ETH_P_ALL; from here on the socket receives.
int sluice_packet_bind(int fd, unsigned int ifindex);
/// Asks for a TPACKET_V2 ring (`timeout_ms` 0) or a TPACKET_V3 ring, and maps it.
int sluice_packet_ring(int fd, unsigned int block_size, unsigned int block_count,
                       unsigned int frame_size, unsigned int timeout_ms, struct sluice_ring *ring);
void sluice_packet_unmap(struct sluice_ring *ring);
/// Reads and clears the kernel's counters.
int sluice_packet_statistics(int fd, unsigned int *packets, unsigned int *drops);
/// The pending error of the socket (ENETDOWN after the interface went down), and clears it; 0 if none.
int sluice_socket_error(int fd);
/// sendmmsg without blocking: how many messages were taken, or a negative errno if none was.
int sluice_send_messages(int fd, struct sluice_message *messages, unsigned int count);
/// One frame from the socket's own queue, cut to the vector's size: its full length.
ssize_t sluice_receive_frame(int fd, const struct iovec *vector, unsigned int count);
unsigned int sluice_interface_index(const char *name);
_Bool sluice_interface_exists(unsigned int ifindex);
/// Returns once every frame that the kernel was receiving at the call has been received.
void sluice_wait_for_receivers(void);
/// IFF_… flags, or a negative errno.
int sluice_interface_flags(int fd, const char *name);
/// Its MTU in bytes, or a negative errno.
int sluice_interface_mtu(int fd, const char *name);
/// The interface's MAC address into six bytes; a negative errno on failure.
int sluice_interface_address(int fd, const char *name, uint8_t *address);

// The status word is how the kernel and the reader hand a slot to each other
// (Documentation/networking/packet_mmap.rst): acquire before reading the slot, release after.
static inline uint32_t sluice_load_acquire(const uint8_t *word) {
    return __atomic_load_n((const uint32_t *)word, __ATOMIC_ACQUIRE);
}
static inline void sluice_store_release(uint8_t *word, uint32_t value) {
    __atomic_store_n((uint32_t *)word, value, __ATOMIC_RELEASE);
}

/// Whether `word` held `expected` and now holds `wanted`; a full barrier if so.
static inline _Bool sluice_exchange_u32(void *word, uint32_t expected, uint32_t wanted) {
    return __atomic_compare_exchange_n((uint32_t *)word, &expected, wanted, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}
static inline void sluice_store_u32(void *word, uint32_t value) {
    __atomic_store_n((uint32_t *)word, value, __ATOMIC_SEQ_CST);
}

/// An aligned word that other CPUs read while it changes.
static inline void sluice_store_u64(void *word, uint64_t value) {
    __atomic_store_n((uint64_t *)word, value, __ATOMIC_RELAXED);
}
