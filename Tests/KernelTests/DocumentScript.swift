// The document, command by command: how to expose a service with DNAT and spread it over three
// backends. Each step is a line as the document has it, where it is typed, and what must come of it.
// The same steps run on the kernel and on Sluice; their transcripts are compared.

import Lab
import Testing

struct DocumentStep: Sendable {
    enum Expectation: Sendable {
        /// Succeeds; the text is compared between the twins after normalising it.
        case succeeds
        case prints(String)
        /// Fails with this status.
        case fails(Int32)
        case contains([String])
    }
    /// What the document says at this point.
    var saying: String
    var line: String
    var namespace = "node"
    var expectation = Expectation.succeeds
    var normalise: @Sendable (String) -> String = { $0 }
}

/// What happened at one step, in a form that must be the same on both twins.
struct TranscriptEntry: Equatable, CustomStringConvertible {
    var line: String
    var status: Int32
    var output: String
    var description: String { "$ \(line)\n\(output)[status \(status)]" }
}

enum DocumentScript {
    static let steps: [DocumentStep] = singleBackend + threeBackends + checklist

    private static let singleBackend = [
        DocumentStep(
            saying: "redirect external traffic on port 8080 to ns-blue's web server",
            line: """
                iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
                -j DNAT --to-destination 10.0.0.1:80
                """),
        DocumentStep(
            saying: "with just this rule, traffic is redirected but silently dropped",
            line: "curl -s --max-time 1 http://192.0.2.1:8080", namespace: "client",
            expectation: .fails(28)),
        DocumentStep(
            saying: "the FORWARD chain is responsible, and its policy is DROP",
            line: "iptables -S FORWARD"),
        DocumentStep(
            saying: "allow forwarded traffic to reach ns-blue",
            line: "sudo iptables -A FORWARD -d 10.0.0.1 -p tcp --dport 80 -j ACCEPT"),
        DocumentStep(
            saying: "test from an external machine",
            line: "curl -s --max-time 5 http://192.0.2.1:8080", namespace: "client",
            expectation: .prints("blue\n")),
        DocumentStep(
            saying: "the client only ever talks to the host's IP",
            line: "curl -s --max-time 5 -o /dev/null -w '%{remote_ip}:%{remote_port}\\n' "
                + "http://192.0.2.1:8080",
            namespace: "client", expectation: .prints("192.0.2.1:8080\n")),
        DocumentStep(
            saying: "watch the translation in real time",
            line: "conntrack -L 2>/dev/null | grep 8080 | grep TIME_WAIT",
            expectation: .contains([
                "src=192.0.2.10 dst=192.0.2.1", "dport=8080 src=10.0.0.1 dst=192.0.2.10 sport=80",
                "[ASSURED]",
            ]),
            normalise: Normalise.connections),
        DocumentStep(
            saying: "nat rules count connections, not packets: three so far, one of them blocked",
            line: "iptables -t nat -L PREROUTING -n -v --line-numbers",
            expectation: .contains(["DNAT", "tcp dpt:8080 to:10.0.0.1:80"]),
            normalise: Normalise.ruleCounters),
    ]

    private static let threeBackends = [
        DocumentStep(
            saying: "remove the single-backend DNAT rule from Step 1",
            line: """
                iptables -t nat -D PREROUTING -i eth0 -p tcp --dport 8080 \
                -j DNAT --to-destination 10.0.0.1:80
                """),
        DocumentStep(
            saying: "33% to ns-blue",
            line: """
                iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
                -m statistic --mode random --probability 0.33 \
                -j DNAT --to-destination 10.0.0.1:80
                """),
        DocumentStep(
            saying: "50% of remaining to ns-green",
            line: """
                iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
                -m statistic --mode random --probability 0.50 \
                -j DNAT --to-destination 10.0.0.2:80
                """),
        DocumentStep(
            saying: "all remaining to ns-red",
            line: """
                iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 \
                -m statistic --mode random --probability 1 \
                -j DNAT --to-destination 10.0.0.3:80
                """),
        DocumentStep(
            saying: "allow FORWARD to other backends",
            line: """
                iptables -A FORWARD -d 10.0.0.2 -p tcp --dport 80 -j ACCEPT
                iptables -A FORWARD -d 10.0.0.3 -p tcp --dport 80 -j ACCEPT
                """),
        DocumentStep(
            saying: "verify the distribution: nine requests, each answered by some backend",
            line: """
                for i in $(seq 1 9); do curl -s --max-time 5 http://192.0.2.1:8080; done \
                | grep -cE '^(blue|green|red)$'
                """,
            namespace: "client", expectation: .prints("9\n")),
        DocumentStep(
            saying: "verify the rules are in place",
            line: "iptables -t nat -L PREROUTING -n -v --line-numbers",
            expectation: .contains([
                "statistic mode random probability 0.33000000007 to:10.0.0.1:80",
                "statistic mode random probability 0.50000000000 to:10.0.0.2:80",
                "statistic mode random probability 1.00000000000 to:10.0.0.3:80",
            ]),
            normalise: Normalise.ruleCounters),
    ]

    private static let checklist = [
        DocumentStep(
            saying: "do the DNAT rules exist?",
            line: "iptables-save -t nat | grep -v '^[#:]' | grep 10.0.0"),
        DocumentStep(
            saying: "is the FORWARD chain allowing the translated destination?",
            line: "iptables -L FORWARD -n -v", normalise: Normalise.ruleCounters),
        DocumentStep(
            saying: "is conntrack tracking the connection?",
            line: "conntrack -L 2>/dev/null | grep 8080 | grep -c '\\[ASSURED\\]'",
            expectation: .prints("11\n")),
        DocumentStep(
            saying: "is the pod actually listening on the target port?",
            line: "ip netns exec ns-blue ss -tln | grep -c '0.0.0.0:80 '",
            expectation: .prints("1\n")),
    ]

    /// Types every step into the lab and judges it.
    static func run(in lab: RunningLab) throws -> [TranscriptEntry] {
        try steps.map { step in
            let outcome = try settled(step, in: lab)
            judge(outcome, step, lab.twin)
            return TranscriptEntry(
                line: step.line, status: outcome.status, output: step.normalise(outcome.output))
        }
    }

    /// Only the connection table is a moving target: the last packets of a closing connection may
    /// still be under way when it is asked for.
    private static func settled(_ step: DocumentStep, in lab: RunningLab) throws -> Command.Outcome
    {
        guard step.line.hasPrefix("conntrack") else {
            return try lab.run(step.line, in: step.namespace)
        }
        return try lab.poll(step.line, in: step.namespace) { outcome in
            switch step.expectation {
            case .prints(let text): outcome.output == text
            default: outcome.output.split(separator: "\n").count == 2
            }
        }
    }

    private static func judge(_ outcome: Command.Outcome, _ step: DocumentStep, _ twin: Twin) {
        let what: Comment = "\(twin): \(step.saying): `\(step.line)`: \(outcome.errors)"
        switch step.expectation {
        case .succeeds: #expect(outcome.status == 0, what)
        case .fails(let status): #expect(outcome.status == status, what)
        case .prints(let text):
            #expect(outcome.status == 0, what)
            #expect(outcome.output == text, what)
        case .contains(let parts):
            #expect(outcome.status == 0, what)
            for part in parts { #expect(outcome.output.contains(part), what) }
        }
    }
}

/// Takes out of a text what chance decides, and nothing else.
enum Normalise {
    /// `pkts` and `bytes` of every rule, and of the policies.
    @Sendable static func ruleCounters(_ text: String) -> String {
        lines(text) { line in
            let pattern = #/^(?<number>\d+)?\s+(?<packets>\d+[KMGT]?)\s+(?<bytes>\d+[KMGT]?)\s/#
            let counted = line.replacing(pattern) { "\($0.output.number ?? "") P B " }
            return counted.replacing(#/policy (\w+) \d+[KMGT]? packets, \d+[KMGT]? bytes/#) {
                "policy \($0.output.1) P packets, B bytes"
            }
        }
    }

    /// Client ports and remaining seconds.
    @Sendable static func connections(_ text: String) -> String {
        lines(text) { line in
            line.replacing(#/\b(sport|dport)=(\d{5})\b/#) { "\($0.output.1)=P" }
                .replacing(#/^(\w+ +\d+) \d+ /#) { "\($0.output.1) T " }
        }
    }

    private static func lines(_ text: String, _ change: (String) -> String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { change(String($0)) }
            .joined(separator: "\n")
    }
}
