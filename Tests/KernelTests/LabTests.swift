// The lab itself: what it shows of the machine, what it leaves behind, and how it refuses.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("A lab", .needsLabs) struct LabTests {
        @Test("shows the document's namespaces to the node, and none of them to the machine")
        func privateNames() throws {
            // Other tests make namespaces at the same time; only the lab's names count.
            let onMachine = {
                let list = try Command(["ip", "netns", "list"]).check()
                let names = list.split(separator: "\n").compactMap {
                    $0.split(separator: " ").first
                }
                return Set(names.map(String.init)).intersection(
                    ["client", "node", "ns-blue", "ns-green", "ns-red"])
            }
            let before = try onMachine()
            try withLab(.kernel) { lab throws in
                let names = try lab.output("ip netns list | cut -d' ' -f1 | sort | xargs")
                #expect(names == "client node ns-blue ns-green ns-red\n")
                #expect(try onMachine() == before)
                #expect(try lab.output("ip netns exec ns-green hostname -I") == "10.0.0.2 \n")
                #expect(try lab.output("ls /sys/class/net").contains("veth-red-br"))
            }
        }

        @Test("keeps what one command adds for the next: a namespace typed in by hand stays")
        func mountsPersist() throws {
            try withLab(.kernel) { lab throws in
                try lab.output("ip netns add ns-more")
                #expect(try lab.output("ip netns exec ns-more ip -o link").contains("lo"))
            }
        }

        @Test("on the kernel leaves the machine's own iptables in reach")
        func kernelCommands() throws {
            try withLab(.kernel) { lab throws in
                #expect(try lab.output("command -v iptables").hasSuffix("/sbin/iptables\n"))
                #expect(try lab.output("command -v iptables") != "/usr/local/sbin/iptables\n")
                #expect(try lab.output("sudo iptables -S FORWARD").contains("-P FORWARD DROP"))
            }
        }

        @Test(
            "is gone after its keeper was killed, and the name is free again",
            arguments: [["dnat-load-balancing", "--kernel"], ["service-networking"]])
        func downAfterCrash(_ words: [String]) throws {
            let binary = try #require(Requirement.binary)
            let name = "crash-\(getpid())"
            let up = Command([binary, "lab", "up"] + words + ["--name", name])
            try up.check()
            let state = try Lab(name: name).state()
            kill(try #require(state.keeper?.pid), SIGKILL)
            let gone = Deadline(milliseconds: 20_000).wait { state.condition == .broken }
            #expect(gone, "the keeper outlived SIGKILL")
            let entered = try Command([binary, "lab", "exec", name, "node", "--", "true"]).run()
            #expect(entered.status == 2)
            #expect(entered.errors.contains("has lost the process that holds it"))
            try Command([binary, "lab", "down", name]).check()
            let marked = try Command([
                "bash", "-c", "grep -lz '^SLUICE_LAB=\(name)$' /proc/[0-9]*/environ | wc -l",
            ]).run()
            #expect(marked.output == "0\n", "processes of the lab are left behind")
            let files = try FileManager.default.contentsOfDirectory(atPath: LabState.directory)
            #expect(files.filter { $0.hasPrefix(name) }.isEmpty)
            try up.check()
            try Command([binary, "lab", "down", name]).check()
            #expect(try Command([binary, "lab", "down", name]).check().contains("was not up"))
        }

        @Test("is broken once one of its daemons was killed, and goes down wholly", .needsDaemon)
        func deadDaemon() throws {
            try withLab(.sluice, topology: "service-networking") { lab throws in
                let state = try Lab(name: lab.name).state()
                #expect(state.daemons.keys.sorted() == ["node1", "node2"])
                kill(try #require(state.daemons["node2"]?.pid), SIGKILL)
                let gone = Deadline(milliseconds: 20_000).wait { state.condition == .broken }
                #expect(gone, "the daemon outlived SIGKILL")
                let status = try Command([lab.binary, "lab", "status", lab.name]).run()
                #expect(status.status == 1)
                #expect(status.output.contains("condition  broken"))
            }
        }

        @Test("that cannot come up says why, and leaves nothing")
        func failedUp() throws {
            let binary = try #require(Requirement.binary)
            let name = "failing-\(getpid())"
            let up = Command(
                [binary, "lab", "up", "service-networking", "--name", name],
                environment: ["PATH": "/nonexistent"])
            let outcome = try up.run()
            #expect(outcome.status == 2)
            #expect(outcome.errors.contains("lab \(name) does not come up: cannot run ip"))
            let files = try FileManager.default.contentsOfDirectory(atPath: LabState.directory)
            #expect(files.filter { $0.hasPrefix(name) }.isEmpty)
        }

        @Test(
            "refuses with one sentence and status 2",
            arguments: [
                (["up", "no-such-lab"], "there is no lab no-such-lab; expected one of"),
                (["up", "dnat-load-balancing", "--name", "../x"], "is no name for a lab"),
                (["exec", "never-up", "node", "--", "true"], "lab never-up is not up; "),
            ])
        func refusals(_ arguments: [String], _ sentence: String) throws {
            let binary = try #require(Requirement.binary)
            let outcome = try Command([binary, "lab"] + arguments).run()
            #expect(outcome.status == 2)
            #expect(outcome.errors.contains(sentence))
            #expect(outcome.errors.split(separator: "\n").count == 1)
        }

        @Test("does not let a second one take its name")
        func secondUp() throws {
            try withLab(.kernel) { lab throws in
                let again = try Command([
                    lab.binary, "lab", "up", "dnat-load-balancing", "--name", lab.name,
                ]).run()
                #expect(again.status == 2)
                #expect(again.errors.contains("is up already"))
                #expect(try lab.output("true") == "")
            }
        }

        @Test("needs root, and says so")
        func needsRoot() throws {
            let binary = try #require(Requirement.binary)
            let outcome = try Command([
                "setpriv", "--reuid=65534", "--clear-groups", binary, "lab", "up",
                "dnat-load-balancing",
            ]).run()
            // Where the checkout is unreadable for others, the program cannot even be started.
            if outcome.errors.contains("setpriv") { return }
            #expect(outcome.status == 2)
            #expect(outcome.errors.contains("labs need root"))
        }
    }
}
