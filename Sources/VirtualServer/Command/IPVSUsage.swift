// What `ipvsadm -h` and `-v` print: Sluice's own words, which name what Sluice does and nothing else.

enum IPVSUsage {
    static let version = "ipvsadm v1.31 (sluice)\n"

    static let text =
        version
            + """
            Usage:
              ipvsadm -A|E virtual-service [-s scheduler] [-p [timeout]] [-M netmask] [-b sched-flags]
              ipvsadm -D virtual-service
              ipvsadm -C
              ipvsadm -R
              ipvsadm -S [-n]
              ipvsadm -a|e virtual-service -r server-address -m [options]
              ipvsadm -d virtual-service -r server-address
              ipvsadm -L|l [virtual-service] [options]
              ipvsadm -Z [virtual-service]
              ipvsadm -h

            Commands:
            Either long or short options are allowed.
              --add-service     -A        add virtual service with options
              --edit-service    -E        edit virtual service with options
              --delete-service  -D        delete virtual service
              --clear           -C        clear the whole table
              --restore         -R        restore rules from stdin
              --save            -S        save rules to stdout
              --add-server      -a        add real server with options
              --edit-server     -e        edit real server with options
              --delete-server   -d        delete real server
              --list            -L|-l     list the table
              --zero            -Z        zero counters in a service or all services
              --help            -h        display this help message
              --version         -v        display the version

            virtual-service:
              --tcp-service|-t  service-address   service-address is host[:port]
              --udp-service|-u  service-address   service-address is host[:port]
              --fwmark-service|-f fwmark          fwmark is an integer greater than zero

            Options:
              --scheduler    -s scheduler         one of \(Scheduler.all.map(\.name).joined(separator: "|")),
                                                  the default scheduler is wlc.
              --persistent   -p [timeout]         persistent service
              --netmask      -M netmask           persistent granularity mask
              --real-server  -r server-address    server-address is host (and port)
              --masquerading -m                   masquerading (NAT), the only forwarding method
              --weight       -w weight            capacity of real server
              --u-threshold  -x uthreshold        upper threshold of connections
              --l-threshold  -y lthreshold        lower threshold of connections
              --connection   -c                   output of current connections
              --timeout                           output of timeout (tcp tcpfin udp)
              --stats                             output of statistics information
              --rate                              output of rate information
              --exact                             expand numbers (display exact values)
              --thresholds                        output of thresholds information
              --persistent-conn                   output of persistent connection info
              --nosort                            in the order in which they were added
              --numeric      -n                   numeric output of addresses and ports
              --sched-flags  -b flags             sh-fallback, sh-port, mh-fallback, mh-port

            """
}
