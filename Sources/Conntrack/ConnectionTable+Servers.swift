// Connections that were sent to one of several servers: charging them, and following what they do.

import Wire

extension ConnectionTable {
    // MARK: Between packets

    /// Makes room for accounts; those that exist stay as they are.
    public func reserve(servers: Int, clients: Int) {
        while serverLoads.count < servers { serverLoads.append(ServerLoad()) }
        while clientUses.count < clients { clientUses.append(ClientUse()) }
    }

    public func setLoad(of server: ServerAccount, _ load: ServerLoad) {
        serverLoads[Int(server.rawValue)] = load
    }

    // MARK: Packets

    public func load(of server: ServerAccount) -> ServerLoad {
        serverLoads[Int(server.rawValue)]
    }

    public func use(of client: ClientAccount) -> ClientUse { clientUses[Int(client.rawValue)] }

    /// The account is another client's from now on.
    public func begin(_ client: ClientAccount) { clientUses[Int(client.rawValue)] = ClientUse() }

    /// A client begins or ceases to keep a server.
    public func count(client change: Int32, of server: ServerAccount) {
        let index = Int(server.rawValue)
        serverLoads[index].clients = UInt32(Int64(serverLoads[index].clients) + Int64(change))
        if change > 0 { serverLoads[index].noteMore() } else { serverLoads[index].noteLess() }
    }

    /// The new connection `id` goes to `server`; `bytes` is the length of its first packet.
    public func charge(
        _ id: ConnectionID, to server: ServerAccount, client: ClientAccount?, bytes: Int
    ) {
        guard let index = slot(id), storage[index].server == noEntry else { return }
        let account = Int(server.rawValue)
        storage[index].server = server.rawValue
        storage[index].isCharged = true
        storage[index].isActive = storage[index].countsAsActive
        if storage[index].isActive {
            serverLoads[account].active &+= 1
        } else {
            serverLoads[account].inactive &+= 1
        }
        serverLoads[account].traffic.connections &+= 1
        serverLoads[account].traffic.packetsIn &+= 1
        serverLoads[account].traffic.bytesIn &+= UInt64(truncatingIfNeeded: bytes)
        serverLoads[account].noteMore()
        if let client {
            storage[index].client = client.rawValue
            clientUses[Int(client.rawValue)].connections &+= 1
        }
    }

    /// The server that a connection was sent to.
    public func server(of id: ConnectionID) -> ServerAccount? {
        guard let index = slot(id), storage[index].isCharged else { return nil }
        return ServerAccount(rawValue: storage[index].server)
    }

    /// Whether the connection's server belongs to its service no more.
    @inline(__always)
    public func hasLostServer(_ id: ConnectionID) -> Bool {
        guard let index = slot(id), storage[index].isCharged else { return false }
        return hasLostServer(index)
    }

    func hasLostServer(_ index: UInt32) -> Bool {
        !serverLoads[Int(storage[index].server)].isAvailable
    }

    /// After a packet of a charged connection.
    func followLoad(_ index: UInt32, _ direction: Direction, bytes: Int) {
        let account = Int(storage[index].server)
        moveLoad(index)
        if storage[index].client != noEntry, storage[index].isAnswered(direction) {
            clientUses[Int(storage[index].client)].isAssured = true
        }
        let bytes = UInt64(truncatingIfNeeded: bytes)
        if direction == .reply {
            serverLoads[account].traffic.packetsOut &+= 1
            serverLoads[account].traffic.bytesOut &+= bytes
        } else if serverLoads[account].isAvailable {
            serverLoads[account].traffic.packetsIn &+= 1
            serverLoads[account].traffic.bytesIn &+= bytes
        }
    }

    /// Its state may have changed.
    func moveLoad(_ index: UInt32) {
        let isActive = storage[index].countsAsActive
        guard isActive != storage[index].isActive else { return }
        storage[index].isActive = isActive
        let account = Int(storage[index].server)
        serverLoads[account].active = serverLoads[account].active &+ (isActive ? 1 : .max)
        serverLoads[account].inactive = serverLoads[account].inactive &+ (isActive ? .max : 1)
    }

    /// It ended.
    func discharge(_ index: UInt32, now: Timestamp) {
        let account = Int(storage[index].server)
        if storage[index].isActive {
            serverLoads[account].active &-= 1
        } else {
            serverLoads[account].inactive &-= 1
        }
        serverLoads[account].noteLess()
        storage[index].isCharged = false
        guard storage[index].client != noEntry else { return }
        let client = Int(storage[index].client)
        clientUses[client].connections &-= 1
        clientUses[client].lastEnd = now
    }
}

extension Connection {
    /// TCP is once it is established, and all else with the first reply.
    fileprivate func isAnswered(_ direction: Direction) -> Bool {
        original.protocol == .tcp ? tcp.state == .established : direction == .reply
    }

    /// TCP from its first SYN to its first FIN or RST (`tcp_state_active_table`).
    fileprivate var countsAsActive: Bool {
        guard original.protocol == .tcp else { return false }
        switch tcp.state {
        case .synSent, .synSent2, .synRecv, .established: return true
        case .none, .finWait, .closeWait, .lastAck, .timeWait, .close: return false
        }
    }
}
