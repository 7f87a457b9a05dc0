import Testing
import Wire

@testable import VirtualServer

@Suite("Random lines of ipvsadm")
struct RandomLineTests {
    private static let words = [
        "-A", "-E", "-D", "-C", "-a", "-e", "-d", "-Z", "-L", "-S", "-R", "-t", "-u", "-f", "-s",
        "-p", "-M",
        "-r", "-m", "-w", "-x", "-y", "-b", "-n", "-c", "--stats", "--persistent", "--tcp-service=",
        "-Am",
        "10.0.0.1:80", "10.0.0.2:http", "10.0.0.3", "[::1]:80", "::", "1", "7", "4294967295", "0",
        "-1",
        "rr", "wrr", "mh", "sh-port", "mh-port,mh-fallback", "255.255.255.0", "=", "--", "-",
        "ipvsadm", "é", "\u{0}",
        "99999999999999999999",
    ]

    /// A line that begins as one that works, then goes astray here and there.
    private func line(_ random: inout SeededRandom) -> String {
        func pick<Element>(_ list: [Element]) -> Element {
            list[Int(random.next() % UInt64(list.count))]
        }
        var line = pick([
            ["-A", "-t", "10.0.0.1:80", "-s", "mh"],
            ["-a", "-t", "10.0.0.1:80", "-r", "10.0.1.1", "-m"],
            ["-a", "-f", "7", "-r", "10.0.1.2:81", "-m", "-w", "4"], ["-A", "-f", "7", "-p"],
            ["-e", "-t", "10.0.0.1:80", "-r", "10.0.1.1", "-m", "-w", "0"], ["-Ln"], ["-Sn"], [],
        ])
        for _ in 0..<Int(random.next() % 4) {
            let place = Int(random.next() % UInt64(line.count + 1))
            if random.next() % 2 == 0 || place == line.count {
                line.insert(pick(Self.words), at: place)
            } else {
                line[place] = pick(Self.words)
            }
        }
        return line.joined(separator: " ")
    }

    @Test(
        "change nothing where they fail, say why, and leave what can be saved and restored",
        arguments: [1, 2, 3])
    func promises(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var table = Table()
        for _ in 0..<3000 {
            let line = line(&random)
            let before = table.services
            let outcome = table.run(line)
            if outcome.status != 0 {
                #expect(!outcome.error.isEmpty && outcome.output.isEmpty, "seed \(seed): \(line)")
                #expect(table.services == before, "seed \(seed): \(line)")
            }
            guard table.services != before else { continue }
            let saved = table.run("-Sn").output
            var again = Table()
            #expect(
                again.run("-R", input: saved) == IPVSOutcome(), "seed \(seed): \(line)\n\(saved)")
            #expect(
                Set(again.services.services.map(\.key)) == Set(table.services.services.map(\.key)),
                "seed \(seed): \(line)")
        }
    }
}
