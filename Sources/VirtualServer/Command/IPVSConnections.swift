// What `ipvsadm -L -c` prints: the connections that were sent to a server, and the clients that keep one.

import Conntrack
import Ruleset
import Wire

/// One line of it, as a value.
public struct DirectedConnection: Hashable, Sendable {
    var protocolName: String
    var transport: IPProtocol
    var timeout: Seconds
    var state: String
    var client: IPv4Address
    var clientPort: Port
    var virtual: IPv4Address
    var virtualPort: Port
    var server: IPv4Address
    var serverPort: Port

    /// A connection, if it was sent to a server. A look-up in the table is needed to know that.
    public init?(_ record: ConnectionRecord, _ connections: ConnectionTable) {
        guard connections.server(of: record.connection) != nil else { return nil }
        let isTCP = record.original.protocol == .tcp
        protocolName = isTCP ? "TCP" : "UDP"
        transport = record.original.protocol
        timeout = record.timeout
        state = record.tcpState.map(Self.name) ?? "UDP"
        client = record.original.source
        clientPort = record.original.sourcePort
        virtual = record.original.destination
        virtualPort = record.original.destinationPort
        server = record.reply.source
        serverPort = record.reply.sourcePort
    }

    /// ipvs sees a connection from the director on: a SYN has come in, none was sent.
    private static func name(_ state: TCPState) -> String {
        switch state {
        case .synSent, .synSent2: "SYN_RECV"
        default: "\(state)"
        }
    }
}

extension Director {
    /// The clients that keep a server, as `-L -c` shows them.
    public func keptClients(now: Timestamp) -> [DirectedConnection] {
        clients.list(connections, now: now).compactMap(line)
    }

    private func line(_ client: RememberedClient) -> DirectedConnection? {
        owner(of: client.account).map { DirectedConnection(client, $0) }
    }
}

extension DirectedConnection {
    fileprivate init(_ client: RememberedClient, _ owner: AccountOwner) {
        let key = client.key
        transport = IPProtocol(rawValue: key.protocol)
        protocolName = transport == .tcp ? "TCP" : transport == .udp ? "UDP" : "IP"
        timeout = client.timeout
        state = client.isAssured ? "ASSURED" : "NONE"
        self.client = IPv4Address(rawValue: key.network)
        clientPort = Port(0)
        virtual = IPv4Address(rawValue: key.service)
        virtualPort = Port(key.port)
        server = owner.address
        serverPort = key.port == 0 ? Port(0) : owner.port
    }
}

extension IPVSText {
    /// The whole listing.
    public func connections(_ connections: [DirectedConnection]) -> String {
        var text = "IPVS connection entries\n"
        text += "pro expire state       source             virtual            destination\n"
        for connection in connections {
            let left = connection.timeout.rawValue
            func two(_ number: UInt32) -> String { number < 10 ? "0\(number)" : "\(number)" }
            let fields = [
                Self.left(connection.protocolName, 3),
                Self.left("\(two(left / 60)):\(two(left % 60))", 6),
                Self.left(connection.state, 11),
                Self.left(endpoint(connection.client, connection.clientPort, connection), 18),
                Self.left(endpoint(connection.virtual, connection.virtualPort, connection), 18),
                endpoint(connection.server, connection.serverPort, connection),
            ]
            text += fields.joined(separator: " ") + "\n"
        }
        return text
    }

    private func endpoint(
        _ address: IPv4Address, _ port: Port, _ connection: DirectedConnection
    ) -> String {
        endpoint(address, port, connection.transport)
    }
}
