// The load by hand: generator IF SOURCE-MAC TARGET-MAC SOURCE DESTINATION PORT FLOWS LENGTH SECONDS
// Prints how many frames it made in how many seconds.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CGenerator.h"

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int mac(const char *text, uint8_t *m) {
    return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) == 6;
}

int main(int count, char **words) {
    struct generator_load load = {0};
    if (count != 10 || !mac(words[2], load.source_address) || !mac(words[3], load.target_address)) {
        fprintf(stderr, "usage: generator IF SOURCE-MAC TARGET-MAC SOURCE DESTINATION PORT FLOWS "
                        "LENGTH SECONDS\n");
        return 2;
    }
    load.interface = words[1];
    load.source = ntohl(inet_addr(words[4]));
    load.destination = ntohl(inet_addr(words[5]));
    load.port = (uint16_t)atoi(words[6]);
    load.flows = (uint16_t)atoi(words[7]);
    load.length = (uint16_t)atoi(words[8]);
    double start = now(), end = start + atof(words[9]);
    unsigned long frames = 0;
    while (now() < end) {
        int status = generator_run(&load, 400000);
        if (status < 0) {
            fprintf(stderr, "generator: %s\n", strerror(-status));
            return 1;
        }
        frames += 400000;
    }
    printf("%lu %.3f\n", frames, now() - start);
    return 0;
}
