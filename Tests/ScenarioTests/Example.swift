// The case that most tests here use: a gateway between a client and a server, with NAT both ways.

@testable import Scenario

let exampleText = """
    title: A request to port 80 of the node reaches the server, and the answer comes back
    seed: 1
    topology:
      links:
        eth0:
          mac: 02:00:00:00:00:01
          mtu: 1500
          addresses: [10.0.0.1/24]
        eth1:
          mac: 02:00:00:00:01:01
          mtu: 1400
          addresses: [10.0.1.1/24, 10.0.1.2/24]
          settings:
            rp_filter: 1
      routes:
        - 10.9.0.0/16 via 10.0.1.9
      policyRules:
        - fwmark 1 lookup main
      neighbours:
        - {address: 10.0.0.9, mac: 02:00:00:00:00:09, link: eth0}
        - {address: 10.0.1.9, mac: 02:00:00:00:01:09, link: eth1}
      settings:
        net.netfilter.nf_conntrack_udp_timeout: 7
    rules: |
      *nat
      :PREROUTING ACCEPT [0:0]
      :POSTROUTING ACCEPT [0:0]
      -A PREROUTING -i eth0 -p udp -m udp --dport 80 -j DNAT --to-destination 10.9.0.5:8080
      -A POSTROUTING -o eth1 -j MASQUERADE
      COMMIT
    packets:
      - note: the client asks
        at: 0
        in: eth0
        frame: |
          020000000001 020000000009 0800  # Ethernet
          45000020 00014000 401126c3 0a000009 0a000001  # udp 10.0.0.9:4000 > 10.0.0.1:80
          0fa00050 000c0000 70696e67
      - note: the server answers whoever asked
        at: 0.25
        answers: 1
        in: eth1
        frame: |
          020000000101 020000000109 0800
          45000020 00024000 401125b5 0a090005 0a000109
          1f900fa0 000c0000 706f6e67

    """

func example() throws -> Case { try Case(yaml: exampleText, file: "case.yaml") }
