// The zone that names Services.

import Foundation
import Services
import Testing
import Wire

@Suite("The zone file")
struct ZoneFileTests {
    @Test("has a CNAME for an ExternalName, and addresses for the others")
    func records() throws {
        let objects = try ServiceObjects(
            yaml: try Place.text(Place.fixtures.appending(path: "shop.yaml")))
        let zone = try #require(
            ZoneFile(domain: "cluster.local", server: IPv4Address(10, 96, 0, 53), serial: 7))
        #expect(
            zone.text(objects) == """
                $ORIGIN cluster.local.
                $TTL 5
                @ IN SOA ns.dns hostmaster 7 7200 1800 86400 5
                @ IN NS ns.dns
                ns.dns IN A 10.96.0.53
                empty.default.svc IN A 10.96.0.11
                my-ip-service.default.svc IN CNAME api.example.org.
                pods.default.svc IN A 10.0.3.1
                pod-0.pods.default.svc IN A 10.0.3.1
                web.default.svc IN A 10.96.0.10
                dns.kube-system.svc IN A 10.96.0.53

                """)
        #expect(zone.corefile.hasPrefix("cluster.local:53 {\n    file cluster.local.zone\n"))
        #expect(ZoneFile(domain: "cluster local", server: .loopback, serial: 1) == nil)
    }
}
