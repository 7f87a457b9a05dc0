// libpcap and the kernel both have a `struct bpf_insn`, and they differ (classic and extended BPF). One
// Swift module that uses both needs two names; a struct's tag is not part of the library's interface.
#define bpf_insn pcap_bpf_insn
#include <pcap/pcap.h>
#undef bpf_insn
