#include "forwarder.h"

#include <errno.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_port(struct forwarder_end end, struct port *port) {
    port->interface = end.interface;
    for (int index = 0; index < 6; index++)
        port->neighbour[index] = (uint8_t)(end.neighbour >> (40 - 8 * index));
    struct ifreq request = {0};
    strncpy(request.ifr_name, end.interface, sizeof request.ifr_name - 1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int status = ioctl(fd, SIOCGIFHWADDR, &request) < 0 ? -errno : 0;
    close(fd);
    memcpy(port->address, request.ifr_hwaddr.sa_data, sizeof port->address);
    return status;
}

int forwarder_run(enum forwarder_mode mode, struct forwarder_end first, struct forwarder_end second) {
    struct port ports[2];
    int status = open_port(first, &ports[0]);
    if (status == 0)
        status = open_port(second, &ports[1]);
    if (status < 0)
        return status;
    return mode == FORWARDER_PACKET ? forward_packet(ports) : forward_xdp(ports);
}
