#include "CFlowABI.h"

_Static_assert(sizeof(struct sluice_heartbeat) == 8, "one word that is stored atomically");
_Static_assert(sizeof(struct sluice_claim_counters) % 8 == 0, "a per-CPU value has no padding");
_Static_assert(sizeof(struct sluice_host_sender) == 12, "two Ethernet addresses");
_Static_assert(sizeof(struct sluice_mac_field) == 6, "one Ethernet address");
_Static_assert(sizeof(struct sluice_host_counters) % 8 == 0, "a per-CPU value has no padding");
