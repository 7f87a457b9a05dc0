// Rule files of real programs: saved and restored they stay what they are, or they are refused at
// the word that is not supported.

import Foundation
import Ruleset
import Testing

@Suite("Rule files of real programs")
struct RealRulesetsTests {
    private static func files() -> [URL] {
        var found: [URL] = []
        for root in ["rulesets", "kube-proxy-cases"] {
            let list = FileManager.default.enumerator(
                at: Place.shared.appending(path: root), includingPropertiesForKeys: nil)
            while let file = list?.nextObject() as? URL {
                if file.pathExtension == "iptables" { found.append(file) }
            }
        }
        // These expect chains that kube-proxy's other rules make; full.iptables has both.
        return found.filter { $0.lastPathComponent != "expected.iptables" }
            .sorted { $0.path < $1.path }
    }

    @Test(
        "save, restore, save is the identity, or the refusal names file, line, column and word",
        .enabled(if: Place.hasShared("rulesets"), "the shared rulesets are not here"))
    func identity() throws {
        var supported = 0
        var refused: [String] = []
        for file in Self.files() {
            let name = file.path
            let bytes = Array(try Data(contentsOf: file))
            var engine = Engine()
            engine.environment.readFile = { _ in .bytes(bytes) }
            let outcome = engine.run(.restore, [name])
            guard outcome.status == 0 else {
                let ours = outcome.standardError.split(separator: "\n").last.map(String.init) ?? ""
                #expect(ours.hasPrefix("sluice: \(name), line "), "\(ours)")
                #expect(ours.contains(", column ") && ours.contains("\""), "\(ours)")
                refused.append(
                    file.lastPathComponent + ours.dropFirst("sluice: \(name)".count).prefix(90))
                continue
            }
            supported += 1
            let first = engine.saved
            var second = Engine()
            let again = second.run(.restore, [], input: first)
            #expect(again.status == 0, "\(name): \(again.standardError)")
            #expect(second.saved == first, "\(name)")
            #expect(!first.isEmpty || bytes.isEmpty, "\(name)")
        }
        print("rule files restored: \(supported), refused: \(refused.count)")
        for line in refused { print("  \(line)") }
        #expect(supported > 20)
    }

    @Test(
        "what the kernel printed after loading a file is what the engine prints",
        .enabled(if: Place.hasShared("kube-proxy-cases"), "the shared cases are not here"))
    func kernelText() throws {
        var compared = 0
        for file in Self.files() where file.lastPathComponent == "full.iptables" {
            let kernel = file.deletingLastPathComponent().appending(path: "kernel-save.iptables")
            guard let expected = try? String(contentsOf: kernel, encoding: .utf8) else { continue }
            var engine = Engine()
            let full = try String(contentsOf: file, encoding: .utf8)
            let outcome = engine.run(.restore, [], input: full)
            // A file whose matches are not all supported is the other test's affair.
            guard outcome.status == 0 else { continue }
            compared += 1
            #expect(rulesByTable(engine.saved) == rulesByTable(expected), "\(file.path)")
        }
        print("saved texts compared with the kernel's: \(compared)")
        #expect(compared > 0)
    }

    /// The order of the tables in that text is another version's.
    private func rulesByTable(_ text: String) -> [Substring: [Substring]] {
        var tables: [Substring: [Substring]] = [:]
        var table: Substring = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("*") { table = line }
            if line.hasPrefix("-A") { tables[table, default: []].append(line) }
        }
        return tables
    }

    @Test(
        "ten thousand services are restored and saved in seconds, not minutes",
        .timeLimit(.minutes(2)))
    func manyChains() {
        var text = "*nat\n:KUBE-SERVICES - [0:0]\n"
        for service in 0..<10_000 {
            let address = "10.\(service >> 16 & 255).\(service >> 8 & 255).\(service & 255)"
            text += ":SVC-\(service) - [0:0]\n"
            text += "-A KUBE-SERVICES -d \(address)/32 -p tcp -m tcp --dport 80 -j SVC-\(service)\n"
            text += "-A SVC-\(service) -p tcp -j DNAT --to-destination 10.9.9.9:80\n"
        }
        text += "-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\nCOMMIT\n"
        var engine = Engine()
        engine.environment.resolver = NumericResolver()
        #expect(engine.run(.restore, [], input: text).status == 0)
        #expect(engine.saved.split(separator: "\n").count == 30_011)
    }
}
