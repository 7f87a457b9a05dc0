// Docs/IPVS.md, command by command. The kernel has no twin of it where it is built without ip_vs.

import Foundation
import Lab
import Testing

extension KernelTests {
    @Suite("The page of virtual services", .needsDaemon) struct VirtualServicePageTests {
        private static let lab = "dnat-load-balancing"

        @Test("is what Sluice prints")
        func holds() throws {
            var page = try LabPage(Self.lab, page: "../IPVS.md")
            if ProcessInfo.processInfo.environment["SLUICE_WRITE_PAGES"] != nil {
                let found = try LabPageRun.run(page, on: .sluice, patience: 1)
                try page.write(found.map { ($0.step, $0.printed) })
                page = try LabPage(Self.lab, page: "../IPVS.md")
            }
            #expect(page.steps.count > 20)
            for answer in try LabPageRun.run(page, on: .sluice) {
                #expect(
                    answer.step.agrees(with: answer.printed),
                    """
                    in \(answer.step.namespace): \(answer.step.line)
                    printed: \(answer.printed.joined(separator: "\n"))
                    the page says: \(answer.step.output.joined(separator: "\n"))
                    """)
            }
        }
    }
}
