// The reference forwarder by hand: forwarder packet|xdp IF=NEIGHBOUR IF=NEIGHBOUR
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "CForwarder.h"

static volatile int stop;

static void end(int signal) {
    (void)signal;
    stop = 1;
}

static int parse(char *word, struct forwarder_port *port) {
    char *equals = strchr(word, '=');
    uint8_t *n = port->neighbour;
    if (!equals || sscanf(equals + 1, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", n, n + 1, n + 2, n + 3, n + 4,
                          n + 5) != 6)
        return 0;
    *equals = 0;
    port->interface = word;
    struct ifreq request = {0};
    strncpy(request.ifr_name, word, sizeof request.ifr_name - 1);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int status = ioctl(fd, SIOCGIFHWADDR, &request);
    close(fd);
    memcpy(port->address, request.ifr_hwaddr.sa_data, sizeof port->address);
    return status == 0;
}

int main(int count, char **words) {
    struct forwarder_port ports[2];
    if (count != 4 || (strcmp(words[1], "packet") != 0 && strcmp(words[1], "xdp") != 0) ||
        !parse(words[2], &ports[0]) || !parse(words[3], &ports[1])) {
        fprintf(stderr, "usage: forwarder packet|xdp IF=NEIGHBOUR IF=NEIGHBOUR\n");
        return 2;
    }
    signal(SIGTERM, end);
    signal(SIGINT, end);
    int status = forwarder_run(ports, words[1][0] == 'x' ? FORWARDER_XDP : FORWARDER_PACKET, &stop);
    if (status < 0)
        fprintf(stderr, "forwarder: %s\n", strerror(-status));
    return status < 0;
}
