// What chance and time decide in what commands print: ports, counters, times. Taken out before two
// outputs are compared.

/// Takes out of what a terminal shows what chance and time decide, and nothing else.
enum Normalise {
    static func page(_ lines: [String]) -> [String] {
        lines.map { line in
            var text = counters(line)
            connection(&text)
            ports(&text)
            times(&text)
            text.replace(#/\bID=\d+/#) { _ in "ID=N" }
            text.replace(#/\b([0-9a-f]{2}:)+[0-9a-f]{2}\b/#) { _ in "MAC" }
            text.replace(#/\b0\.\d{4} (≥|<)/#) { "R \($0.output.1)" }
            text.replace(#/ +/#) { _ in " " }
            return text.last == " " ? String(text.dropLast()) : text
        }
    }

    /// `pkts` and `bytes` of a rule, of which it is only kept whether anything has met it; those of a
    /// policy.
    private static func counters(_ line: String) -> String {
        line.replacing(#/^(\d+ +)? *(\d+[KMGT]?) +(\d+[KMGT]?) (?= *[A-Z0-9])/#) {
            "\($0.output.1 ?? "")\($0.output.2 == "0" ? "none" : "some") "
        }.replacing(#/policy (\w+) \d+[KMGT]? packets, \d+[KMGT]? bytes/#) {
            "policy \($0.output.1)"
        }
    }

    /// Remaining seconds and references of an entry of `conntrack -L`.
    private static func connection(_ text: inout String) {
        text.replace(#/^(\w+ +\d+) \d+ /#) { "\($0.output.1) T " }
        text.replace(#/\buse=\d+/#) { _ in "use=U" }
    }

    /// Ports that the kernel gives to sockets (32768 to 60999, ip_local_port_range), and that
    /// MASQUERADE --random-fully draws from all that are not privileged.
    private static func ports(_ text: inout String) {
        text.replace(#/(rewrite +source .* ⇒ [0-9.]+:)\d+/#) { "\($0.output.1)P" }
        text.replace(
            #/(:|\b[sd]port=|SPT=)(3[3-9]\d{3}|32[89]\d\d|327[6-9]\d|[45]\d{4}|60\d{3})\b/#
        ) {
            "\($0.output.1)P"
        }
    }

    private static func times(_ text: inout String) {
        text.replace(#/\b[0-9.]+ ?(ms|milliseconds)\b/#) { "T \($0.output.1)" }
        text.replace(#/^rtt .*/#) { _ in "rtt" }
        text.replace(#/^\[ *\d+\.\d+\] /#) { _ in "[T] " }
    }
}
