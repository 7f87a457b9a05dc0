// The cases of kube-proxy 1.28's own tests that lie beside the checkout: objects and a node's configuration,
// the rules that kube-proxy makes of them, and where packets may go.

import Foundation
import Ruleset
import Services
import Testing
import Wire

public struct KubeProxyCase: CustomTestStringConvertible, Sendable {
    public struct Flow: Decodable {
        public var name: String
        public var sourceIP: String
        public var destIP: String
        public var destPort: UInt16
        /// Endpoints that may be reached, "10.0.1.1:80, 10.0.1.2:80"; REJECT; DROP; or empty: nowhere.
        public var output: String
        public var masq: Bool
    }

    /// `proxy-config.json`.
    private struct Node: Decodable {
        var hostname: String
        var nodeIP: String
        var localDetector: String
        var localhostNodePorts: Bool
        var masqueradeAll: Bool
        var nodePortAddresses: [String]
    }

    private var directory: URL
    public var testDescription: String { directory.lastPathComponent }

    public static let all: [KubeProxyCase] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: root.path)) ?? []
        return names.sorted().map { KubeProxyCase(directory: root.appending(path: $0)) }
    }()

    /// Those that say where packets may go.
    public static let withFlows: [KubeProxyCase] = all.filter {
        FileManager.default.fileExists(atPath: $0.directory.appending(path: "flows.json").path)
    }

    private static let root: URL = {
        if let set = ProcessInfo.processInfo.environment["SLUICE_SHARED"] {
            return URL(filePath: set).appending(path: "kube-proxy-cases")
        }
        return URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../shared/kube-proxy-cases").standardizedFileURL
    }()

    private func text(_ name: String) throws -> String {
        try String(contentsOf: directory.appending(path: name), encoding: .utf8)
    }

    public func flows() throws -> [Flow] {
        try JSONDecoder().decode([Flow].self, from: Data(try text("flows.json").utf8))
    }

    /// What kube-proxy writes, and the jumps to it.
    public func givenRules() throws -> String { try text("full.iptables") }

    /// What Sluice makes of the objects.
    public func madeRules() throws -> Ruleset {
        var objects = ServiceObjects()
        _ = try objects.apply(
            try Manifest(try text("objects.yaml"), file: "objects.yaml").objects)
        return Ruleset(objects, try configuration())
    }

    private func configuration() throws -> ProxyConfiguration {
        let node = try JSONDecoder().decode(
            Node.self, from: Data(try text("proxy-config.json").utf8))
        var configuration = ProxyConfiguration(nodeName: node.hostname)
        let words = node.localDetector.split(separator: " ")
        if words.first == "ClusterCIDR" {
            configuration.clusterNetwork = IPv4Network(prefix: String(words[1]))
        }
        configuration.masqueradeAll = node.masqueradeAll
        configuration.localhostNodePorts = node.localhostNodePorts
        configuration.nodePortNetworks = node.nodePortAddresses.compactMap {
            IPv4Network(prefix: $0)
        }
        configuration.nodeAddresses = [try #require(IPv4Address(node.nodeIP)), .loopback]
        // The iptables of those tests has no --random-fully.
        configuration.randomFully = false
        return configuration
    }
}
