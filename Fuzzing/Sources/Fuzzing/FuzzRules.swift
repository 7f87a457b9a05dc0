// The rulesets that frames are walked through: none, NAT alone, and those that have everything between them.

import Ruleset
import Wire

enum FuzzRules {
    static let all = [Ruleset()] + texts.map(parsed)
    static let texts = [nat, everything, mangling, limits, memory]

    private static func parsed(_ text: String) -> Ruleset {
        let outcome = IPTablesCommand.run(
            .restore, arguments: [], standardInput: Array(text.utf8), ruleset: Ruleset(),
            environment: environment)
        guard outcome.status == 0, let rules = outcome.ruleset else {
            fatalError("the rules load: \(outcome.standardError)")
        }
        return rules
    }

    static let environment = CommandEnvironment(
        resolver: FuzzResolver(), date: "Thu Jan  1 00:00:00 1970")

    private static let nat = """
        *nat
        -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.2.0.2:8080
        -A PREROUTING -p udp --dport 53 -j DNAT --to-destination 10.2.0.2-10.2.0.3
        -A OUTPUT -d 10.1.0.1 -p tcp --dport 80 -j DNAT --to-destination 10.2.0.2
        -A POSTROUTING -o eth1 -j MASQUERADE
        COMMIT

        """

    private static let everything = """
        *raw
        :OTHER - [0:0]
        -A PREROUTING -m addrtype --dst-type BROADCAST -j DROP
        -A PREROUTING -s 10.3.0.0/16 -g OTHER
        -A OTHER -m comment --comment "seen before tracking" -j MARK --set-xmark 0x1/0xff
        COMMIT
        *mangle
        -A PREROUTING -p tcp --tcp-flags SYN,RST SYN -j MARK --set-mark 7
        -A FORWARD -m mark --mark 0x7/0xf -j MARK --or-mark 0x100
        -A POSTROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j MARK --xor-mark 0xff
        COMMIT
        *nat
        -A PREROUTING -p tcp -m multiport --dports 80,443,8000:8100 -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.2.0.2:8080-8083
        -A PREROUTING -p tcp --dport 80 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.2.0.3
        -A PREROUTING -p udp --dport 53 -j REDIRECT --to-ports 5300-5310 --random
        -A OUTPUT -d 10.1.0.1 -p tcp -j DNAT --to-destination 10.2.0.2:80 --persistent
        -A POSTROUTING -s 10.1.0.0/25 -o eth1 -p tcp -j SNAT --to-source 10.2.0.7-10.2.0.9:2000-2003
        -A POSTROUTING -o eth1 -p udp -j MASQUERADE --to-ports 1024-1030 --random-fully
        COMMIT
        *filter
        :STRICT - [0:0]
        -A INPUT -p icmp -m icmp --icmp-type echo-request -j ACCEPT
        -A INPUT -m conntrack --ctstate INVALID -j LOG --log-prefix "invalid " --log-level 4
        -A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable
        -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
        -A FORWARD -m conntrack --ctstate DNAT --ctproto tcp --ctdir ORIGINAL -j ACCEPT
        -A FORWARD -f -j DROP
        -A FORWARD -p tcp ! --syn -m state --state NEW -j REJECT --reject-with tcp-reset
        -A FORWARD -p tcp -m tcp --tcp-option 8 -j STRICT
        -A FORWARD -i eth+ ! -o eth0 -p udp --sport 1024:65535 -j ACCEPT
        -A FORWARD -p udp -j REJECT --reject-with icmp-admin-prohibited
        -A STRICT -m addrtype --src-type LOCAL -j RETURN
        -A STRICT -s 10.1.0.0/24 -d 10.2.0.0/24 -j ACCEPT
        -A STRICT -j LOG --log-tcp-sequence --log-tcp-options --log-ip-options --log-uid
        COMMIT

        """
}

extension FuzzRules {
    /// Without tracking: fragments pass as they are.
    fileprivate static let mangling = """
        *raw
        -A PREROUTING -m rpfilter --invert --validmark -j DROP
        -A PREROUTING -m mac --mac-source 02:00:00:00:00:02 -j MARK --set-mark 1
        -A PREROUTING -m pkttype --pkt-type broadcast -j DROP
        -A OUTPUT -m owner --uid-owner 0-100 -j MARK --set-mark 2
        COMMIT
        *mangle
        -A PREROUTING -m ttl --ttl-gt 63 -j TTL --ttl-dec 200
        -A PREROUTING -m ttl --ttl-lt 2 -j TTL --ttl-inc 5
        -A PREROUTING -m tos --tos 0x10/0x3f -j TOS --set-tos 0x08/0x3f
        -A PREROUTING -m dscp ! --dscp 0x2e -j DSCP --set-dscp-class CS1
        -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
        -A FORWARD -p tcp -m length --length 40:60 -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000
        -A POSTROUTING -j CLASSIFY --set-class 1:2
        -A POSTROUTING -p udp -j CHECKSUM --checksum-fill
        COMMIT
        *filter
        -A FORWARD -m iprange --src-range 10.1.0.2-10.1.0.9 --dst-range 10.2.0.0-10.2.0.9 -j ACCEPT
        -A FORWARD -p tcp -m multiport ! --ports 22,80:90 -j REJECT --reject-with tcp-reset
        -A FORWARD -p 132 -m sctp --dport 80 --chunk-types any DATA,INIT -j DROP
        -A FORWARD -p 33 -m dccp --sport 1:2 -j DROP
        -A FORWARD -p 50 -m esp --espspi 0:100 -j DROP
        -A FORWARD -p 51 -m ah --ahspi 7 -j DROP
        -A FORWARD -m length --length 500: -j REJECT --reject-with icmp-net-unreachable
        COMMIT

        """

    /// Tracking in zones, marks of connections, and rules that remember.
    fileprivate static let limits = """
        *raw
        -A PREROUTING -i eth1 -p udp -j CT --zone-orig 2
        -A PREROUTING -s 10.1.0.64/26 -j CT --zone 1
        -A PREROUTING -p icmp -m icmp --icmp-type timestamp-request -j CT --notrack
        -A PREROUTING -p 47 -j NOTRACK
        COMMIT
        *mangle
        -A PREROUTING -j CONNMARK --restore-mark
        -A PREROUTING -m connmark --mark 0x7/0xf -j MARK --set-mark 0
        -A POSTROUTING -m mark --mark 1 -j CONNMARK --set-xmark 0x7/0xff
        -A POSTROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff
        COMMIT
        *nat
        -A PREROUTING -d 10.1.0.128/25 -j NETMAP --to 10.2.0.0/25
        -A POSTROUTING -s 10.1.0.0/25 -j NETMAP --to 10.9.0.0/25
        COMMIT
        *filter
        -A FORWARD -m limit --limit 6/min --limit-burst 3 -j ACCEPT
        -A FORWARD -m limit --limit 1/day -j LOG
        COMMIT

        """
}

extension FuzzRules {
    /// What remembers sources, flows and connections, and what copies packets and tells of them.
    fileprivate static let memory = """
        *raw
        -A PREROUTING -p icmp -j TRACE
        -A PREROUTING -p udp --dport 53 -j TRACE
        -A OUTPUT -j NFLOG --nflog-group 1 --nflog-size 20
        COMMIT
        *mangle
        -A POSTROUTING -j NFLOG --nflog-prefix "after all"
        COMMIT
        *nat
        -A POSTROUTING -o eth1 -j MASQUERADE
        COMMIT
        *filter
        :KNOWN - [0:0]
        -A INPUT -m recent --rcheck --seconds 60 --reap --name inbound -j DROP
        -A INPUT -m recent --set --name inbound --mask 255.255.255.0
        -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST,ACK SYN -m connlimit --connlimit-above 2 --connlimit-mask 24 -j REJECT --reject-with tcp-reset
        -A FORWARD -m connlimit --connlimit-upto 1 --connlimit-daddr -j NFLOG --nflog-group 2 --nflog-threshold 3
        -A FORWARD -m recent --update --seconds 1 --hitcount 3 --rttl --name seen -g KNOWN
        -A FORWARD -p udp -m recent --remove --rdest --name seen
        -A FORWARD -m recent --set --rsource --name seen
        -A FORWARD -m hashlimit --hashlimit-above 2/sec --hashlimit-burst 3 --hashlimit-mode srcip,dstport --hashlimit-name flows --hashlimit-htable-max 4 --hashlimit-htable-expire 1000 -j DROP
        -A FORWARD -m hashlimit --hashlimit-upto 1kb/s --hashlimit-burst 2kb --hashlimit-mode dstip --hashlimit-dstmask 28 --hashlimit-name bytes -j ACCEPT
        -A FORWARD -m hashlimit --hashlimit-above 5/min --hashlimit-rate-match --hashlimit-rate-interval 2 --hashlimit-name rate -j LOG
        -A KNOWN -m recent ! --rcheck --name elsewhere -j ACCEPT
        -A KNOWN -j NFLOG --nflog-size 0
        COMMIT

        """
}

/// A few names, so that no input asks the machine.
struct FuzzResolver: NameResolver {
    func port(service: String, transport: String?) -> Port? {
        service == "http" ? Port(80) : service == "domain" ? Port(53) : nil
    }
    func service(port: Port, transport: String?) -> String? {
        port == Port(80) ? "http" : port == Port(53) ? "domain" : nil
    }
    func number(protocolName: String) -> IPProtocol? {
        protocolName == "gre" ? IPProtocol(rawValue: 47) : nil
    }
    func name(protocolNumber: IPProtocol) -> String? {
        protocolNumber == IPProtocol(rawValue: 47) ? "gre" : nil
    }
    func addresses(host: String) -> [IPv4Address] {
        host == "backend" ? [IPv4Address(10, 2, 0, 2), IPv4Address(10, 2, 0, 3)] : []
    }
    func host(address: IPv4Address) -> String? { nil }
    func userID(named: String) -> UInt32? { named == "root" ? 0 : nil }
    func userName(_ userID: UInt32) -> String? { userID == 0 ? "root" : nil }
    func groupID(named: String) -> UInt32? { named == "root" ? 0 : nil }
    func groupName(_ groupID: UInt32) -> String? { groupID == 0 ? "root" : nil }
}
