#include "forwarder.h"

#include <errno.h>

int forwarder_run(const struct forwarder_port ports[2], enum forwarder_mode mode,
                  const volatile int *stop) {
    switch (mode) {
    case FORWARDER_PACKET:
        return forward_packet(ports, stop);
    case FORWARDER_XDP:
        return forward_xdp(ports, stop);
    }
    return -EINVAL;
}
