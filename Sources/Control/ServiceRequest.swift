// `sluice service`: what a call asks of the daemon. Manifests travel as text: the client opens the files, with
// the caller's rights, and the daemon reads them.

import FoundationEssentials
import Services
import Wire

public struct ServiceRequest: Codable, Hashable, Sendable {
    public enum Action: String, Codable, Sendable { case apply, get, describe, delete, rules, dns }

    /// A manifest: so many bytes of standard input, in the order of the list.
    public struct File: Codable, Hashable, Sendable {
        public var name: String
        public var bytes: Int

        public init(name: String, bytes: Int) {
            self.name = name
            self.bytes = bytes
        }
    }

    public var action: Action
    public var files: [File] = []
    /// The files are all there is to be.
    public var prunes = false
    public var showsDifference = false
    /// Looks only.
    public var isDryRun = false
    /// Of get, describe and delete.
    public var kind: String?
    public var namespace: String?
    public var name: String?
    public var settings = ServiceSettings()
    /// Of dns.
    public var zone = ZoneSettings()

    public init(_ action: Action) { self.action = action }
}

/// What a zone file says of itself.
public struct ZoneSettings: Codable, Hashable, Sendable {
    public var domain = "cluster.local"
    public var server = "127.0.0.1"
    public var serial: UInt32 = 1

    public init() {}

    public func zone() throws(Refusal) -> ZoneFile {
        guard let address = IPv4Address(server) else {
            throw Refusal("--address \(server): expected an IPv4 address")
        }
        guard let zone = ZoneFile(domain: domain, server: address, serial: serial) else {
            throw Refusal("--domain \(domain): expected a domain name such as cluster.local")
        }
        return zone
    }
}

/// What of a node's configuration a person has said; `nil` stays as it was.
public struct ServiceSettings: Codable, Hashable, Sendable {
    public var nodeName: String?
    /// "none", or a network.
    public var clusterNetwork: String?
    public var masqueradeAll: Bool?
    public var randomFully: Bool?
    public var localhostNodePorts: Bool?
    /// Networks; an empty list stands for all addresses.
    public var nodePortNetworks: [String]?

    public init() {}

    public func apply(to configuration: inout ProxyConfiguration) throws(Refusal) {
        configuration.nodeName = nodeName ?? configuration.nodeName
        configuration.masqueradeAll = masqueradeAll ?? configuration.masqueradeAll
        configuration.randomFully = randomFully ?? configuration.randomFully
        configuration.localhostNodePorts = localhostNodePorts ?? configuration.localhostNodePorts
        if let clusterNetwork {
            configuration.clusterNetwork =
                clusterNetwork == "none"
                ? nil : try Self.network(clusterNetwork, "--cluster-cidr")
        }
        if let nodePortNetworks {
            var networks: [IPv4Network] = []
            for text in nodePortNetworks {
                networks.append(try Self.network(text, "--nodeport-addresses"))
            }
            configuration.nodePortNetworks = networks
        }
    }

    private static func network(_ text: String, _ option: String) throws(Refusal) -> IPv4Network {
        guard let network = IPv4Network(prefix: text) else {
            throw Refusal("\(option) \(text): expected a network such as 10.0.0.0/8")
        }
        return network
    }
}

extension ProxyConfiguration {
    /// That of a node of which nobody said anything; it bears the machine's name.
    public static var ofThisMachine: ProxyConfiguration {
        ProxyConfiguration(nodeName: SystemCalls.hostName())
    }
}

/// The manifests that a person names.
public enum ManifestFiles {
    /// Files, and of directories the .yaml, .yml and .json files in them; `-` is standard input.
    public static func read(_ paths: [String]) throws(Refusal) -> [(name: String, text: [UInt8])] {
        var files: [(name: String, text: [UInt8])] = []
        for path in paths {
            if path == "-" {
                files.append(
                    (
                        "standard input",
                        try text { () throws(TextFile.Failure) in
                            try TextFile.standardInput()
                        }
                    ))
                continue
            }
            let names = SystemCalls.isDirectory(path) ? try entries(of: path) : [path]
            for name in names {
                files.append(
                    (name, try text { () throws(TextFile.Failure) in try TextFile.read(name) }))
            }
        }
        return files
    }

    private static func text(
        _ read: () throws(TextFile.Failure) -> [UInt8]
    ) throws(Refusal) -> [UInt8] {
        do { return try read() } catch { throw Refusal("\(error)") }
    }

    private static func entries(of directory: String) throws(Refusal) -> [String] {
        let names = try refusing { () throws(SystemError) in try SystemCalls.entries(of: directory)
        }
        let root = directory.hasSuffix("/") ? directory : directory + "/"
        return names.filter { name in
            !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
        }.sorted().map { root + $0 }
    }
}

extension Manifest {
    /// Reads the bytes of a file.
    public init(bytes: some Sequence<UInt8> & Collection, file: String) throws(ManifestError) {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ManifestError(file: file, "not text in UTF-8")
        }
        try self.init(text, file: file)
    }
}
