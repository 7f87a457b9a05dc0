import KernelPath
import Testing

@Suite("The kernel as a peer")
struct KernelPathErrorTests {
    @Test("says what failed in its own words")
    func description() {
        #expect("\(KernelPathError("no namespace"))" == "no namespace")
    }
}
