// The names of Services, served by a name server of Debian's, which is reached as a Service itself.

import Foundation
import Lab
import Testing

private let tools = ["nsd", "nsd-checkzone", "dig"]

private let hasNameServer = tools.allSatisfy { tool in
    ["/usr/sbin", "/usr/bin"].contains {
        FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)")
    }
}

extension KernelTests {
    @Suite(
        "The names of Services", .needsDaemon,
        .enabled(if: hasNameServer, "needs \(tools.joined(separator: ", "))"))
    struct NameServerTests {
        private static let manifests = """
            apiVersion: v1
            kind: Service
            metadata: {name: my-ip-service}
            spec: {type: ExternalName, externalName: api.ipify.org}
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: web}
            spec: {clusterIP: 10.96.0.80, ports: [{port: 80}]}
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: pods}
            spec: {clusterIP: None, ports: [{port: 80}]}
            ---
            apiVersion: v1
            kind: Endpoints
            metadata: {name: pods}
            subsets: [{addresses: [{ip: 10.0.0.2, hostname: green}, {ip: 10.0.0.3}], ports: [{port: 80}]}]
            ---
            apiVersion: v1
            kind: Service
            metadata: {name: kube-dns, namespace: kube-system}
            spec: {clusterIP: 10.96.0.53, ports: [{name: dns, port: 53, protocol: UDP}, {name: tcp, port: 53}]}
            ---
            apiVersion: v1
            kind: Endpoints
            metadata: {name: kube-dns, namespace: kube-system}
            subsets:
            - addresses: [{ip: 10.0.0.1}]
              ports: [{name: dns, port: 5353, protocol: UDP}, {name: tcp, port: 5353}]
            """

        @Test(
            "are answered by NSD from the zone file, over UDP and TCP, at the address of a Service")
        func answers() throws {
            try withLab(.sluice) { lab throws in
                let directory = String(try lab.output("mktemp -d").dropLast())
                defer { _ = try? lab.run("rm -r \(directory)") }
                try lab.output(
                    """
                    cat > \(directory)/services.yaml <<'END'
                    \(Self.manifests)
                    END
                    cd \(directory)
                    sluice service apply --cluster-cidr 10.0.0.0/24 -f services.yaml
                    sluice service dns --address 10.96.0.53 -o .
                    nsd-checkzone cluster.local cluster.local.zone
                    """)
                // Of manifests, without a daemon, it is the same zone.
                try lab.output(
                    """
                    cd \(directory)
                    diff <(sluice service dns --serial 1) <(sluice service dns -f services.yaml --serial 1)
                    """)
                try lab.output(
                    """
                    cat > \(directory)/nsd.conf <<'END'
                    server:
                        ip-address: 10.0.0.1@5353
                        username: ""
                        chroot: ""
                        database: ""
                        pidfile: ""
                        xfrdfile: ""
                        zonelistfile: "\(directory)/zone.list"
                        xfrdir: "\(directory)"
                    remote-control:
                        control-enable: no
                    zone:
                        name: cluster.local
                        zonefile: \(directory)/cluster.local.zone
                    END
                    """)
                try lab.start("nsd -d -c \(directory)/nsd.conf", in: "ns-blue")
                try lab.output("ip route add 10.96.0.0/16 via 192.0.2.1", in: "client")
                func ask(_ question: String) throws -> String {
                    try lab.poll(
                        "dig +short +tries=1 +time=2 @10.96.0.53 \(question)", in: "client"
                    ) { $0.status == 0 }.output
                }
                let domain = "default.svc.cluster.local"
                #expect(try ask("my-ip-service.\(domain)") == "api.ipify.org.\n")
                #expect(try ask("+tcp my-ip-service.\(domain) CNAME") == "api.ipify.org.\n")
                #expect(try ask("web.\(domain)") == "10.96.0.80\n")
                let pods = try ask("pods.\(domain)").split(separator: "\n").sorted()
                #expect(pods == ["10.0.0.2", "10.0.0.3"])
                #expect(try ask("green.pods.\(domain)") == "10.0.0.2\n")
                #expect(try ask("nobody.\(domain)") == "")
            }
        }
    }
}
