// Whether connections are spread as the rules say: a χ² test over real HTTP requests.

import Lab
import Testing

extension KernelTests {
    @Suite("Shares", .needsLabs) struct ShareTests {
        static let requests = 3000

        struct Weights: Sendable, CustomTestStringConvertible {
            var testDescription: String
            /// Of each rule but the last, which takes what is left.
            var probabilities: [String]
            var shares: [Double]
        }

        static let weights = [
            Weights(
                testDescription: "1:1:1", probabilities: ["0.33333333349", "0.50000000000"],
                shares: [1.0 / 3, 1.0 / 3, 1.0 / 3]),
            Weights(
                testDescription: "5:3:2", probabilities: ["0.5", "0.6"], shares: [0.5, 0.3, 0.2]),
        ]

        @Test(
            "of 3,000 connections over three backends follow the weights",
            arguments: Twin.available, weights)
        func backends(_ twin: Twin, _ weights: Weights) throws {
            try withLab(twin) { lab throws in
                for (index, probability) in (weights.probabilities + [""]).enumerated() {
                    let address = "10.0.0.\(index + 1)"
                    let chance =
                        probability.isEmpty
                        ? "" : "-m statistic --mode random --probability \(probability)"
                    try lab.output(
                        """
                        iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \(chance) \
                        -j DNAT --to-destination \(address):80
                        iptables -A FORWARD -d \(address) -p tcp --dport 80 -j ACCEPT
                        """)
                }
                let counts = try Self.count(
                    "curl -s 'http://192.0.2.1:8080/?[1-\(Self.requests)]'", in: "client", lab)
                Self.judge(
                    ["blue", "green", "red"].map { counts[$0] ?? 0 }, shares: weights.shares, twin)
            }
        }

        @Test(
            "of 3,000 connections over two source addresses are 3:1", arguments: Twin.available)
        func sources(_ twin: Twin) throws {
            try withLab(twin) { lab throws in
                try lab.output(
                    """
                    ip addr add 192.0.2.2/24 dev eth0
                    ip addr add 192.0.2.3/24 dev eth0
                    iptables -t nat -I POSTROUTING -s 10.0.0.0/24 -o eth0 \
                    -m statistic --mode random --probability 0.75 -j SNAT --to-source 192.0.2.2
                    iptables -t nat -I POSTROUTING 2 -s 10.0.0.0/24 -o eth0 \
                    -j SNAT --to-source 192.0.2.3
                    """)
                let counts = try Self.count(
                    "curl -s 'http://192.0.2.10/peer?[1-\(Self.requests)]' | cut -d: -f1",
                    in: "ns-blue", lab)
                Self.judge(
                    ["192.0.2.2", "192.0.2.3"].map { counts[$0] ?? 0 }, shares: [0.75, 0.25], twin)
            }
        }

        /// How often each line was printed.
        private static func count(
            _ line: String, in namespace: String, _ lab: RunningLab
        ) throws -> [String: Int] {
            let lines = try lab.output(line, in: namespace).split(separator: "\n")
            return lines.reduce(into: [:]) { $0[String($1), default: 0] += 1 }
        }

        /// Pearson's χ². A right distribution exceeds the bound once in a million runs.
        private static func judge(_ counts: [Int], shares: [Double], _ twin: Twin) {
            #expect(counts.reduce(0, +) == requests, "\(twin): some requests were not answered")
            let statistic = zip(counts, shares).map { count, share in
                let expected = share * Double(requests)
                return (Double(count) - expected) * (Double(count) - expected) / expected
            }.reduce(0, +)
            let bound = counts.count == 3 ? 27.63 : 23.93
            print("shares on \(twin): \(counts), χ² \(statistic) (bound \(bound))")
            #expect(statistic < bound, "\(twin): \(counts) for shares \(shares)")
        }
    }
}
