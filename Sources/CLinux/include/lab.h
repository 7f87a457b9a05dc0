// What a lab asks of the kernel and glibc hides from Swift behind _GNU_SOURCE: namespaces, mounts,
// descriptors for processes and for memory. Functions return a negative errno on failure. No policy here.
#pragma once

/// POSIX_SPAWN_SETSID: the program becomes the head of a new session.
enum { SLUICE_SPAWN_NEW_SESSION = 0x80 };

/// Gives the calling thread a mount namespace of its own, whose mounts follow the parent's but never
/// reach it.
int sluice_private_mounts(void);
/// Moves the calling thread into the mount namespace behind `fd`, also where the process has threads.
int sluice_enter_mount_namespace(int fd);
int sluice_mount(const char *type, const char *target, const char *options);
int sluice_bind_mount(const char *source, const char *target);
/// Takes away the topmost mount at `target`, in use or not.
int sluice_unmount(const char *target);
/// A descriptor that becomes readable when the process has ended.
int sluice_process_descriptor(int pid);
/// An anonymous file in memory, closed on exec.
int sluice_memory_file(const char *name);
/// The environment as execve takes it.
char **sluice_environment(void);

/// Lets the calling thread, and what it starts, run on the processors of the mask only.
int sluice_run_on(unsigned long processors);
/// Reads (`command` is ETHTOOL_G…) an offload setting of an interface in the calling thread's network namespace: 0 or 1.
int sluice_offload_setting(const char *interface, unsigned int command);
/// Writes it (ETHTOOL_S…).
int sluice_set_offload(const char *interface, unsigned int command, unsigned int value);
/// Makes SIGUSR1 interrupt a system call of the thread that gets it, and do nothing else.
void sluice_accept_interruptions(void);
