// Many services behind one chain, as kube-proxy writes them: what it costs to load them, and what the first packet
// of a connection to one of them does.

import Conntrack
import Dataplane
import Foundation
import Hooks
import Ruleset
import Wire

/// KUBE-SERVICES with one rule for each service, and two chains behind each.
func servicesText(_ count: Int) -> String {
    var text = "*nat\n:KUBE-SERVICES - [0:0]\n"
    var rules = ""
    for service in 0..<count {
        text += ":KUBE-SVC-\(service) - [0:0]\n:KUBE-SEP-\(service) - [0:0]\n"
        rules +=
            "-A KUBE-SERVICES -d \(address(of: service))/32 -p tcp -m tcp --dport 80"
            + " -j KUBE-SVC-\(service)\n"
        rules += "-A KUBE-SVC-\(service) -j KUBE-SEP-\(service)\n"
        rules += "-A KUBE-SEP-\(service) -p tcp -m tcp -j DNAT --to-destination \(server):8080\n"
    }
    return text + rules + "-A PREROUTING -j KUBE-SERVICES\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
}

private func address(of service: Int) -> IPv4Address {
    IPv4Address(10, 96, UInt8(service >> 8), UInt8(service & 255))
}

private func seconds(_ body: () -> Void) -> Double {
    var best = Double.infinity
    for _ in 0..<3 {
        let start = DispatchTime.now().uptimeNanoseconds
        body()
        best = min(best, Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9)
    }
    return best
}

private func compiled(_ text: String) -> CompiledRuleset {
    let outcome = IPTablesCommand.run(
        .restore, arguments: [], standardInput: Array(text.utf8), ruleset: Ruleset(),
        environment: CommandEnvironment(resolver: SystemNameResolver(), date: ""))
    guard let ruleset = outcome.ruleset, let rules = try? CompiledRuleset(ruleset) else {
        preconditionFailure("the benchmark's rules are sound: \(outcome.standardError)")
    }
    return rules
}

/// Loading, beside the kernel's `iptables-restore` in a network namespace of its own where that is allowed.
func measureLoading(_ count: Int) {
    let text = servicesText(count)
    let ours = seconds { consume(compiled(text)) }
    let kernel = kernelSeconds(text)
    print(
        "\nloading \(count) services: \(column(ours)) s, iptables-restore \(column(kernel)) s,"
            + " ratio \(column(kernel.map { ours / $0 }))")
}

private func kernelSeconds(_ text: String) -> Double? {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(
        "sluice-bench-\(getpid()).rules")
    guard getuid() == 0, (try? Data(text.utf8).write(to: file)) != nil else { return nil }
    defer { try? FileManager.default.removeItem(at: file) }
    var worked = true
    let time = seconds {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        process.arguments = ["--net", "iptables-restore", file.path]
        guard (try? process.run()) != nil else {
            worked = false
            return
        }
        process.waitUntilExit()
        worked = worked && process.terminationStatus == 0
    }
    return worked ? time : nil
}

/// First packets: each opens a connection, which is forgotten before the next batch, so that the table stays small.
struct Newcomers {
    let table = ConnectionTable(capacity: 4 * batch, seed: 1)
    let bank: FrameBank
    let dataplane: Dataplane

    init(services count: Int) {
        let engine = HookEngine(
            rules: compiled(servicesText(count)), connections: table, routes: routes(), seed: 1)
        var random = SeededRandom(seed: 3)
        bank = FrameBank(
            (0..<batch * 8).map { index in
                let service = Int(random.next() % UInt64(count))
                return tcpFrame(
                    IPv4Address(10, 1, 0, 9), UInt16(10_000 + index), address(of: service), 80,
                    .syn, sequence: 1000)
            })
        dataplane = gatewayDataplane(engine, bank)
    }

    /// A batch of connections.
    func open() {
        dataplane.step(now: start)
        precondition(table.count == batch, "each packet opens a connection")
    }

    func forget() { table.flush(now: start) }
}

func measureNew(services count: Int) -> Measurement {
    let newcomers = Newcomers(services: count)
    let making = measure(batch: batch) { newcomers.bank.refresh() }
    let forgetting = measure(batch: batch) { newcomers.forget() }
    var result = measure(batch: batch) {
        newcomers.open()
        newcomers.forget()
    }
    result.nanoseconds -= making.nanoseconds + forgetting.nanoseconds
    return result
}
