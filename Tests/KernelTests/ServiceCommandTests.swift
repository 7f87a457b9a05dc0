// `sluice service` at a running daemon: what is refused changes nothing, and the edits of a directory are
// followed.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("sluice service", .needsDaemon) struct ServiceCommandTests {
        private static func service(_ name: String, _ spec: String) -> String {
            "apiVersion: v1\nkind: Service\nmetadata: {name: \(name)}\nspec: \(spec)\n"
        }

        private static let web = service(
            "web", "{type: NodePort, clusterIP: 10.96.0.10, ports: [{port: 80, nodePort: 30080}]}")

        private static func apply(_ text: String, _ lab: RunningLab) throws -> Command.Outcome {
            try lab.run("sluice service apply -f - <<'END'\n\(text)\nEND")
        }

        @Test("refuses a bad manifest with one sentence, and the running rules stay as they are")
        func refusals() throws {
            try withLab(.sluice) { lab throws in
                #expect(try Self.apply(Self.web, lab).status == 0)
                let before = try lab.output("sluice iptables-save | grep -v '^#'")
                #expect(before.contains("default/web has no endpoints"))
                let good = Self.service("good", "{clusterIP: 10.96.0.11, ports: [{port: 80}]}")
                for (text, message) in [
                    ("spec: [", "standard input:7: no YAML: did not find expected node content"),
                    (
                        Self.service("b", "{clusterIP: 10.96.0.12, ports: [{port: 0}]}"),
                        "standard input:9: spec.ports[0].port: 0 is not a port (1 to 65535)"
                    ),
                    (
                        Self.service("b", "{clusterIP: 10.96.0.12, ports: {port: 80}}"),
                        "standard input:9: spec.ports: expected a list, found fields"
                    ),
                    (
                        Self.service(
                            "b", "{clusterIP: 10.96.0.12, ports: [{port: 1, nodePort: 30080}]}"),
                        "standard input:9: spec.ports[0].nodePort: 30080/TCP belongs to default/web"
                            + " (standard input:1)"
                    ),
                    (
                        Self.service("b", "{clusterIP: 10.96.0.10, ports: [{port: 80}]}"),
                        "standard input:6: spec.clusterIP: 10.96.0.10:80/TCP belongs to default/web"
                            + " (standard input:1)"
                    ),
                ] {
                    let outcome = try Self.apply(good + "---\n" + text, lab)
                    #expect(outcome.errors == "sluice: \(message)\n")
                    #expect(outcome.status == 2)
                    #expect(outcome.output == "")
                    #expect(try lab.output("sluice iptables-save | grep -v '^#'") == before)
                }
                let list = try lab.output("sluice service get")
                #expect(list.split(separator: "\n").count == 2, "\(list)")
            }
        }

        @Test("looks only, on request; shows what changes; and puts back what somebody flushed")
        func difference() throws {
            try withLab(.sluice) { lab throws in
                let before = try lab.output("sluice iptables-save | grep -v '^#'")
                let look = try lab.output(
                    "sluice service apply --dry-run --diff -f - <<'END'\n\(Self.web)\nEND")
                #expect(look.contains("\n+:KUBE-SERVICES - [0:0]\n"))
                #expect(
                    look.contains(
                        "\n+-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
                    ))
                #expect(try lab.output("sluice iptables-save | grep -v '^#'") == before)

                #expect(try Self.apply(Self.web, lab).output == "service/web created\n")
                let applied = try lab.output("sluice iptables-save | grep -v '^#'")
                try lab.output(
                    "sluice iptables -F KUBE-SERVICES; sluice iptables -t nat -D OUTPUT 1")
                #expect(try Self.apply(Self.web, lab).output == "service/web unchanged\n")
                #expect(try lab.output("sluice iptables-save | grep -v '^#'") == applied)
                // With the last object all their rules go.
                let said = try lab.output("sluice service delete service web")
                #expect(said == "service/web deleted\n")
                #expect(try lab.output("sluice iptables-save").contains("KUBE") == false)
                #expect(try lab.run("sluice service delete service web").status == 2)
            }
        }

        @Test("watch makes what is in a directory all there is, through every edit")
        func watch() throws {
            try withLab(.sluice) { lab throws in
                let directory = String(try lab.output("mktemp -d").dropLast())
                defer { _ = try? lab.run("rm -r \(directory)") }
                func names(until count: Int) throws -> [Substring] {
                    let listed = try lab.poll("sluice service get | awk 'NR > 1 {print $2}'") {
                        $0.output.split(separator: "\n").count == count
                    }
                    return listed.output.split(separator: "\n")
                }
                func write(_ file: String, _ text: String) throws {
                    try lab.output("cat > \(directory)/\(file) <<'END'\n\(text)\nEND")
                }
                try write("web.yaml", Self.web)
                try lab.start("sluice service watch \(directory)")
                #expect(try names(until: 1) == ["web"])
                try write(
                    "b.yaml", Self.service("b", "{clusterIP: 10.96.0.11, ports: [{port: 80}]}"))
                #expect(try names(until: 2) == ["b", "web"])
                // Half an edit changes nothing, and the other half is seen.
                try write("b.yaml", "kind: [")
                try write(
                    "c.yaml", Self.service("c", "{clusterIP: 10.96.0.12, ports: [{port: 80}]}"))
                try lab.output("rm \(directory)/web.yaml")
                try write("b.yaml", "")
                #expect(try names(until: 1) == ["c"])
            }
        }
    }
}
