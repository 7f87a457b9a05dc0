// Endpoints that come, go, are drained and re-weighted while 200 connections transfer: whom a change is none of
// the business goes on.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("Services that change under load", .needsDaemon) struct ServiceChangeTests {
        static let connections = 200
        static let rounds = 7
        static let piece = 20_000

        private static let addresses = ["blue": "10.0.0.1", "green": "10.0.0.2", "red": "10.0.0.3"]

        private static func apply(
            _ colours: [String], drained: [String] = [], _ lab: RunningLab
        ) throws {
            let endpoints = colours.map { "{addresses: [\(addresses[$0] ?? "")]}" }
            let weights = (colours.map { ($0, drained.contains($0) ? 0 : 2) }).map {
                "\(addresses[$0.0] ?? "")=\($0.1)"
            }
            try lab.output(
                """
                sluice service apply --cluster-cidr 10.0.0.0/24 -f - <<END
                apiVersion: v1
                kind: Service
                metadata: {name: web, annotations: {sluice.dev/weights: "\(weights.joined(separator: ","))"}}
                spec:
                  clusterIP: 10.96.0.10
                  ports: [{name: http, port: 80}, {name: echo, port: 7, protocol: UDP}]
                ---
                apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: http, port: 80}, {name: echo, port: 7, protocol: UDP}]
                endpoints: [\(endpoints.joined(separator: ", "))]
                END
                """)
        }

        /// Uploads piece by piece, a round at each word; a UDP socket sends a line with every round.
        private static func client(in directory: String) -> String {
            let size = rounds * piece
            return """
                cd \(directory)
                exec 3<>go 4<>done
                sluice lab server x --bytes \(size) | split -b \(piece) -a 1 -d - piece
                for ((i = 0; i < \(connections); i++)); do
                    exec {fd}<>/dev/tcp/10.96.0.10/80 || exit 1
                    printf 'PUT / HTTP/1.0\\r\\nContent-Length: \(size)\\r\\n\\r\\n' >&$fd
                    all+=($fd)
                done
                exec {udp}<>/dev/udp/10.96.0.10/7
                for ((round = 0; round < \(rounds); round++)); do
                    read -r -u 3
                    for fd in ${all[@]}; do cat piece$round >&$fd; done
                    echo round $round >&$udp
                    echo "$(timeout 10 head -n 1 <&$udp)" >&4
                done
                good=0
                for fd in ${all[@]}; do
                    timeout 20 grep -aq '\(size) bytes, as expected' <&$fd && good=$((good + 1))
                done
                echo $good >&4
                # What nobody has read yet goes with the last who has the pipe open.
                read -r -u 3
                """
        }

        @Test("cut no connection, and UDP leaves an endpoint that is gone at once")
        func underLoad() throws {
            try withLab(.sluice) { lab throws in
                try lab.output("ip route add 10.96.0.0/16 via 192.0.2.1", in: "client")
                try Self.apply(["blue", "green"], lab)
                let directory = try lab.output("mktemp -d").dropLast()
                defer { _ = try? lab.run("rm -r \(directory)") }
                try lab.output("mkfifo \(directory)/go \(directory)/done")
                try lab.start(Self.client(in: String(directory)), in: "client")

                func hear() throws -> String {
                    String(
                        try lab.output("read -r line < \(directory)/done; echo $line").dropLast())
                }
                var round = 0
                /// A piece over every connection, and a datagram; where that went to.
                func transfer() throws -> String {
                    try lab.output("echo go > \(directory)/go")
                    #expect(try hear() == "round \(round)")
                    round += 1
                    // All bytes are with the servers once nothing waits to be acknowledged.
                    let open = try lab.poll(
                        "ss -Htn state established dst 10.96.0.10 | awk '$2 == 0' | wc -l",
                        in: "client"
                    ) { $0.output == "\(Self.connections)\n" }
                    #expect(open.output == "\(Self.connections)\n")
                    let entry = try lab.output(
                        "conntrack -L -p udp --orig-dst 10.96.0.10 2>/dev/null")
                    let sources = entry.split(separator: " ").filter { $0.hasPrefix("src=") }
                    let endpoint = try #require(sources.last?.dropFirst(4), "no UDP flow: \(entry)")
                    return Self.addresses.first { $0.value == endpoint }?.key ?? String(endpoint)
                }
                func reached() throws -> Set<String> {
                    let said = try lab.output(
                        "curl -s --max-time 10 'http://10.96.0.10/?[1-60]'", in: "client")
                    let words = said.split(separator: "\n").map(String.init)
                    #expect(words.count == 60)
                    return Set(words)
                }

                let first = try transfer()
                #expect(["blue", "green"].contains(first))
                let second = first == "blue" ? "green" : "blue"
                #expect(try reached() == ["blue", "green"])

                try Self.apply(["blue", "green", "red"], lab)
                #expect(try transfer() == first)
                #expect(try reached() == ["blue", "green", "red"])

                // Drained: nobody new, and whoever is there stays.
                try Self.apply(["blue", "green", "red"], drained: [first], lab)
                #expect(try transfer() == first)
                #expect(try reached() == [second, "red"])

                try Self.apply([second, "red"], lab)
                let moved = try transfer()
                #expect([second, "red"].contains(moved))
                #expect(try reached() == [second, "red"])

                try Self.apply([first, second], drained: [second], lab)
                #expect(try transfer() == (moved == "red" ? first : moved))
                #expect(try reached() == [first])

                try Self.apply(["blue", "green", "red"], lab)
                _ = try transfer()
                // The last piece completes every upload.
                try lab.output("echo go > \(directory)/go")
                #expect(try hear() == "round \(round)")
                #expect(try hear() == "\(Self.connections)")
            }
        }

        @Test("5,000 of them with four endpoints each, and then one that changes")
        func many() throws {
            try withLab(.sluice) { lab throws in
                func manifest(_ numbers: Range<Int>, _ endpoints: ClosedRange<Int>) -> String {
                    numbers.map { number in
                        let host = "\(number >> 8).\(number & 255)"
                        let addresses = endpoints.map { "{addresses: [10.\($0).\(host)]}" }
                        return """
                            apiVersion: v1
                            kind: Service
                            metadata: {name: s\(number)}
                            spec: {clusterIP: 10.96.\(host), ports: [{port: 80}]}
                            ---
                            apiVersion: discovery.k8s.io/v1
                            kind: EndpointSlice
                            metadata: {name: s\(number), labels: {kubernetes.io/service-name: s\(number)}}
                            addressType: IPv4
                            ports: [{port: 8080}]
                            endpoints: [\(addresses.joined(separator: ", "))]

                            """
                    }.joined(separator: "---\n")
                }
                let words = [lab.binary, "lab", "exec", lab.name, "node", "--"]
                func apply(_ text: String) throws -> Duration {
                    let command = Command(words + ["sluice", "service", "apply", "-f", "-"])
                    return try ContinuousClock().measure { try command.check(input: text) }
                }
                /// Chains that the last change compiled.
                func compiled() throws -> Int? {
                    let line = try lab.output("sluice status").split(separator: "\n").first {
                        $0.hasPrefix("chains compiled: ")
                    }
                    return line?.split(separator: " ").dropFirst(3).first.flatMap { Int($0) }
                }
                let all = try apply(manifest(0..<5000, 1...4))
                // Of each Service one chain that chooses and four endpoints.
                #expect(try #require(try compiled()) >= 25_000)
                let one = try apply(manifest(2500..<2501, 1...5))
                #expect(try compiled() == 2)
                print(
                    "5,000 Services of 4 endpoints: applied in \(all), one of them changed in \(one)"
                )
            }
        }
    }
}
