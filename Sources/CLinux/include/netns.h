// Network namespaces: the calls that glibc declares only under _GNU_SOURCE.
#pragma once

/// Moves the calling thread into the network namespace behind `fd`; a negative errno on failure.
int sluice_enter_network_namespace(int fd);

/// Moves the calling thread into a new network namespace that ends with its last user.
int sluice_new_network_namespace(void);
