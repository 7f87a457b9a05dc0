// The objects of kube-proxy 1.28's own tests make the rules that those tests expect.

import KubeProxyFixture
import Ruleset
import Services
import Testing

@Suite(
    "The cases of kube-proxy 1.28",
    .enabled(if: !KubeProxyCase.all.isEmpty, "the shared cases are not here"))
struct KubeProxyCaseTests {
    @Test("make every chain that kube-proxy makes, rule by rule", arguments: KubeProxyCase.all)
    func rules(_ subject: KubeProxyCase) throws {
        let expected = try Rules.restored(try subject.givenRules())
        ChainText(try subject.madeRules()).expect(ChainText(expected))
    }
}
