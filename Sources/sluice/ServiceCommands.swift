// `sluice service …`: Kubernetes Services from their manifests.

import ArgumentParser
import Control
import Glibc
import Ruleset
import Services
import Wire

struct ServiceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service",
        abstract: "Carry out Kubernetes Services, from their manifests, as kube-proxy does.",
        subcommands: [
            ServiceApply.self, ServiceGet.self, ServiceDescribe.self, ServiceDelete.self,
            ServiceRulesCommand.self, ServiceWatch.self, ServiceDNS.self,
        ])
}

/// Options of kube-proxy that decide about rules, under its names.
struct ServiceOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The addresses of pods, or none.", valueName: "network"))
    var clusterCIDR: String?
    @Option(
        help: ArgumentHelp(
            "The node's name, by which local endpoints are known; else the machine's.",
            valueName: "name"))
    var nodeName: String?
    @Flag(inversion: .prefixedNo, help: "Masquerade everything that goes to a Service.")
    var masqueradeAll: Bool?
    @Flag(inversion: .prefixedNo, help: "Draw the source ports of what is masqueraded.")
    var randomFully: Bool?
    @Flag(
        inversion: .prefixedNo,
        help: "Open node ports at 127.0.0.1 too, which takes route_localnet.")
    var localhostNodeports: Bool?
    @Option(
        help: ArgumentHelp(
            "Where node ports are open, networks with commas between them; all for everywhere.",
            valueName: "networks"))
    var nodeportAddresses: String?

    var settings: ServiceSettings {
        var settings = ServiceSettings()
        settings.clusterNetwork = clusterCIDR
        settings.nodeName = nodeName
        settings.masqueradeAll = masqueradeAll
        settings.randomFully = randomFully
        settings.localhostNodePorts = localhostNodeports
        settings.nodePortNetworks = nodeportAddresses.map {
            $0 == "all" ? [] : $0.split(separator: ",").map(String.init)
        }
        return settings
    }
}

private let fileHelp = ArgumentHelp(
    "A manifest, a directory of them, or - for standard input; may be repeated.",
    valueName: "file")

/// Sends the request with the manifests behind it.
private func send(
    _ request: ServiceRequest, _ files: [(name: String, text: [UInt8])] = [], netns: String?
) throws {
    var request = request
    request.files = files.map { ServiceRequest.File(name: $0.name, bytes: $0.text.count) }
    try askDaemon(
        "service", asArgument(request), standardInput: files.flatMap(\.text),
        networkNamespace: netns)
}

struct ServiceApply: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Take Services and endpoints in, and change the rules.")

    @Option(name: [.customShort("f"), .customLong("filename")], help: fileHelp)
    var files: [String] = []
    @OptionGroup var options: ServiceOptions
    @Flag(help: "Print what changes in the rules.") var diff = false
    @Flag(help: "Change nothing, say what would be changed.") var dryRun = false
    @Flag(help: "Forget what the manifests do not name.") var prune = false
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        guard !files.isEmpty || options.settings != ServiceSettings() else {
            throw Refusal("nothing to apply: expected -f FILE")
        }
        var request = ServiceRequest(.apply)
        request.settings = options.settings
        request.showsDifference = diff
        request.isDryRun = dryRun
        request.prunes = prune
        try send(request, try ManifestFiles.read(files), netns: netns)
    }
}

/// What `get` and `describe` are about.
struct ServiceChoice: ParsableArguments {
    @Argument(help: "A Service; without one all are shown.") var name: String?
    @Option(name: [.short, .long], help: "Of this namespace only.") var namespace: String?
    @Option(help: networkNamespaceHelp) var netns: String?

    func ask(_ action: ServiceRequest.Action) throws {
        var request = ServiceRequest(action)
        request.name = name
        request.namespace = namespace
        try send(request, netns: netns)
    }
}

struct ServiceGet: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "List the Services.")

    @OptionGroup var choice: ServiceChoice

    func run() throws { try choice.ask(.get) }
}

struct ServiceDescribe: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show Services in full, each endpoint with its state.")

    @OptionGroup var choice: ServiceChoice

    func run() throws { try choice.ask(.describe) }
}

struct ServiceDelete: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Forget Services and endpoints; with the last of them all their rules go.")

    @Argument(
        help: ArgumentHelp(
            "service, endpointslice or endpoints, and the name of one.", valueName: "kind name"))
    var words: [String] = []
    @Option(name: [.customShort("f"), .customLong("filename")], help: fileHelp)
    var files: [String] = []
    @Option(name: [.short, .long], help: "Its namespace.") var namespace: String?
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        var request = ServiceRequest(.delete)
        switch (words.count, files.isEmpty) {
        case (0, false): break
        case (2, true): (request.kind, request.name) = (words[0], words[1])
        default: throw Refusal("expected KIND NAME or -f FILE")
        }
        request.namespace = namespace
        try send(request, try ManifestFiles.read(files), netns: netns)
    }
}

struct ServiceRulesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rules",
        abstract: "Print the rules of Services, as iptables-restore --noflush reads them.",
        discussion: "Of the manifests that are named, without a daemon; else of the daemon's.")

    @Option(name: [.customShort("f"), .customLong("filename")], help: fileHelp)
    var files: [String] = []
    @OptionGroup var options: ServiceOptions
    @Option(
        help: ArgumentHelp("The node's addresses, with commas between them.", valueName: "list"))
    var nodeIP: String?
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        guard !files.isEmpty else {
            var request = ServiceRequest(.rules)
            request.settings = options.settings
            return try send(request, netns: netns)
        }
        var configuration = ProxyConfiguration.ofThisMachine
        try options.settings.apply(to: &configuration)
        for text in (nodeIP ?? "").split(separator: ",") {
            guard let address = IPv4Address(text) else {
                throw Refusal("--node-ip \(text): expected an address")
            }
            configuration.nodeAddresses.append(address)
        }
        let rules = ServiceRules(try readObjects(files), configuration)
        let text = rules.text(resolver: SystemNameResolver())
        Descriptor.writeAll(Array(text.utf8), to: STDOUT_FILENO)
    }
}

/// The objects of manifests; what makes no rules is remarked on.
private func readObjects(_ files: [String]) throws -> ServiceObjects {
    var objects = ServiceObjects()
    var all: [ManifestObject] = []
    do {
        for file in try ManifestFiles.read(files) {
            let manifest = try Manifest(bytes: file.text, file: file.name)
            all += manifest.objects
            for remark in manifest.remarks {
                Descriptor.writeAll(Array("sluice: \(remark)\n".utf8), to: STDERR_FILENO)
            }
        }
        _ = try objects.apply(all)
    } catch let error as ManifestError {
        throw Refusal("\(error)")
    }
    return objects
}

struct ServiceWatch: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Make the manifests of a directory all there is, and follow their edits.")

    @Argument(help: "The directory.") var directory: String
    @OptionGroup var options: ServiceOptions
    @Flag(help: "Print what changes in the rules.") var diff = false
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        let watch: DirectoryWatch
        do throws(SystemError) { watch = try DirectoryWatch(directory) } catch {
            throw Refusal("\(error)")
        }
        try Daemon.enterNamespace(netns)
        let interrupts = DirectoryWatch.interrupts()
        repeat {
            var request = ServiceRequest(.apply)
            request.settings = options.settings
            request.showsDifference = diff
            request.prunes = true
            do {
                try send(request, try ManifestFiles.read([directory]), netns: nil)
            } catch let refusal as Refusal {
                // A person is in the middle of an edit; the rules are as they were.
                Descriptor.writeAll(Array(refusal.text.utf8), to: STDERR_FILENO)
            } catch is ExitCode {
                // The daemon has said why.
            }
        } while try watch.next(interrupts: interrupts)
    }
}

struct ServiceDNS: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dns",
        abstract: "Print the zone file that names the Services, or write it with a Corefile.",
        discussion: "Of the manifests that are named, without a daemon; else of the daemon's.")

    @Option(name: [.customShort("f"), .customLong("filename")], help: fileHelp)
    var files: [String] = []
    @Option(help: ArgumentHelp("The cluster's domain.", valueName: "name"))
    var domain = ZoneSettings().domain
    @Option(help: ArgumentHelp("Where the zone will be served.", valueName: "address"))
    var address = ZoneSettings().server
    @Option(help: "The zone's serial number; else the seconds since 1970.") var serial: UInt32?
    @Option(
        name: [.short, .long],
        help: ArgumentHelp("Write DOMAIN.zone and Corefile there.", valueName: "directory"))
    var output: String?
    @Option(help: networkNamespaceHelp) var netns: String?

    func run() throws {
        var settings = ZoneSettings()
        (settings.domain, settings.server) = (domain, address)
        settings.serial = serial ?? UInt32(truncatingIfNeeded: time(nil))
        let zone = try settings.zone()
        let text =
            files.isEmpty ? try daemonText(settings) : zone.text(try readObjects(files))
        guard let output else {
            Descriptor.writeAll(Array(text.utf8), to: STDOUT_FILENO)
            return
        }
        do throws(SystemError) {
            try TextFile.write(text, to: "\(output)/\(zone.name)")
            try TextFile.write(zone.corefile, to: "\(output)/Corefile")
        } catch {
            throw Refusal("\(error)")
        }
    }

    private func daemonText(_ settings: ZoneSettings) throws -> String {
        var request = ServiceRequest(.dns)
        request.zone = settings
        try Daemon.enterNamespace(netns)
        var text: [UInt8] = []
        let status: UInt8
        let arguments = try asArgument(request)
        do throws(ControlClient.Failure) {
            status = try ControlClient().run(
                ControlRequest(command: "service", arguments: arguments),
                output: {
                    text += $0
                    return true
                })
        } catch {
            throw Refusal(error.sentence)
        }
        if status != 0 { throw ExitCode(Int32(status)) }
        return String(decoding: text, as: UTF8.self)
    }
}
