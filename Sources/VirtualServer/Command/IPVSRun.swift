// Carries out what ipvsadm asks for on plain values: edits, restores, listings. What the kernel would have
// answered to each is said in ipvsadm's words (libipvs.c, ipvs_strerror).

import Ruleset
import Wire

/// What edits ask about the node.
public struct IPVSEnvironment: Sendable {
    public var resolver: any NameResolver
    /// Whether an address is one host's.
    public var isUnicast: @Sendable (IPv4Address) -> Bool

    public init(
        resolver: any NameResolver,
        isUnicast: @escaping @Sendable (IPv4Address) -> Bool = {
            $0 != .any && !$0.isMulticast && !$0.isLimitedBroadcast
        }
    ) {
        self.resolver = resolver
        self.isUnicast = isUnicast
    }
}

extension VirtualServices {
    /// Carries one edit out; `nil` where that went well. Other requests change nothing.
    public mutating func carryOut(
        _ request: IPVSRequest, _ environment: IPVSEnvironment
    ) -> IPVSOutcome? {
        do throws(ServiceEditError) {
            try edit(request, environment)
            return nil
        } catch {
            return error.outcome(request)
        }
    }

    private mutating func edit(
        _ request: IPVSRequest, _ environment: IPVSEnvironment
    ) throws(ServiceEditError) {
        switch request {
        case .addService(let service): try add(service)
        case .editService(let service): try edit(service)
        case .deleteService(let key): try delete(key)
        case .clear: clear()
        case .addServer(let server, let key):
            guard self[key] != nil else { throw .noService }
            guard environment.isUnicast(server.address) else { throw .notUnicast }
            try add(server, to: key)
        case .editServer(let server, let key): try edit(server, of: key)
        case .deleteServer(let address, let port, let key):
            try delete(server: address, port, of: key)
        case .zero(let key?): if self[key] == nil { throw .noService }
        case .zero(nil), .list, .connections, .timeouts, .daemons, .save, .restore: break
        }
    }

    /// `-R`: every line is a command line. What the kernel would refuse is said, and the rest goes on; a line that
    /// cannot be read ends it, and then nothing is restored.
    public mutating func restore(
        _ text: String, _ environment: IPVSEnvironment
    ) -> (outcome: IPVSOutcome, zeroed: [ServiceKey?]) {
        var result = self
        var outcome = IPVSOutcome()
        var zeroed: [ServiceKey?] = []
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let words = line.split { $0 == " " || $0 == "\t" || $0 == "\r" }.map(String.init)
                .filter { $0 != "ipvsadm" }
            guard !words.isEmpty else { continue }
            do throws(IPVSOutcome) {
                let request = try IPVSCommand.parse(words, resolver: environment.resolver)
                guard request.changesTable else { throw .tryHelp }
                if case .zero(let key) = request { zeroed.append(key) }
                let refusal = result.carryOut(request, environment)
                outcome.error += refusal?.error ?? ""
                outcome.status = refusal?.status ?? 0
            } catch {
                let place = "ipvsadm: line \(index + 1); nothing was restored\n"
                return (IPVSOutcome(error: error.error + place, status: error.status), [])
            }
        }
        self = result
        return (outcome, zeroed)
    }
}

extension IPVSRequest {
    fileprivate var changesTable: Bool {
        switch self {
        case .list, .connections, .timeouts, .daemons, .save, .restore: false
        default: true
        }
    }

    fileprivate var isAboutServer: Bool {
        switch self {
        case .addServer, .editServer, .deleteServer: true
        default: false
        }
    }
}

extension ServiceEditError {
    fileprivate func outcome(_ request: IPVSRequest) -> IPVSOutcome {
        switch self {
        case .serviceExists: .refused("Service already exists")
        case .noService:
            .refused(request.isAboutServer ? "Service not defined" : "No such service")
        case .noScheduler:
            .refused(
                "Scheduler or persistence engine not found",
                "the schedulers are \(Scheduler.all.map(\.name).joined(separator: ", "))")
        case .serverExists: .refused("Destination already exists")
        case .noServer: .refused("No such destination")
        case .thresholdsReversed:
            .refused(
                "Numerical result out of range",
                "the lower threshold must not be above the upper one")
        case .notUnicast:
            .refused(
                "Invalid operation.  Possibly wrong module version, address not unicast, ...",
                "a server has an address of its own")
        case .tooManyServers:
            .refused(
                "Invalid operation.  Possibly wrong module version, address not unicast, ...",
                "mh has \(maglevPlaces) places")
        }
    }
}
