// What the daemon asks of the kernel and glibc hides from Swift behind _GNU_SOURCE or macros: abstract
// sockets, peer credentials, capabilities, descriptors for signals and wake-ups.
// Functions return a negative errno on failure. No policy here.
#pragma once

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>

/// A non-blocking listening stream socket under an abstract name of the current network namespace.
int sluice_listen_abstract(const char *name, size_t length);
/// A blocking stream socket connected to that name.
int sluice_connect_abstract(const char *name, size_t length);
/// The next client, non-blocking.
int sluice_accept(int fd);
/// Who is at the other end of a Unix socket.
int sluice_peer(int fd, uint32_t *uid, int32_t *pid);
/// A non-blocking counter that wakes a poll.
int sluice_wake_open(void);
int sluice_wake(int fd);
int sluice_wake_clear(int fd);
/// Blocks SIGTERM and SIGINT for the process and returns a descriptor that reads them; ignores SIGPIPE.
int sluice_signals_open(void);
/// The next signal's number, 0 where none waits.
int sluice_signals_next(int fd);
/// What names the calling thread's network namespace until the next boot (SO_NETNS_COOKIE, Linux 5.14);
/// an inode is used again once its namespace is gone.
int sluice_network_namespace_cookie(uint64_t *cookie);
/// The effective capabilities of the calling thread, as the kernel's bit set.
int sluice_capabilities(uint64_t *effective);
int sluice_pin_thread(unsigned int cpu);
/// Keeps the calling thread on the CPU that it is on, and returns where it might run until then; none where
/// the kernel does not say.
cpu_set_t sluice_stay_on_cpu(void);
/// Lets the calling thread run there.
int sluice_allow_cpus(cpu_set_t cpus);
/// How many CPUs the calling thread may run on, and the last of them.
int sluice_usable_cpus(unsigned int *last);
/// Nanoseconds of CLOCK_MONOTONIC and CLOCK_REALTIME.
uint64_t sluice_monotonic(void);
uint64_t sluice_realtime(void);
/// Nanoseconds of CLOCK_MONOTONIC_COARSE, which moves with the kernel's ticks, by which connections end: on
/// a machine that stood still the ticks come late, all at once.
uint64_t sluice_tick_clock(void);
