// Captures through the same packet path that live frames take: no clock but the captures' own, no kernel,
// no privileges. The same frames, rules and seed give the same output, byte for byte.

public import Wire

public enum OfflineRun {
    /// Runs until the ports have no more frames, then lets everything that still waits come to its end:
    /// afterwards every frame is forwarded, delivered or dropped with one reason.
    ///
    /// - Parameter start: the time of frames whose port says none.
    /// - Returns: what became of the frames.
    @discardableResult
    public static func run(
        _ dataplane: Dataplane, from start: Timestamp = Timestamp(nanoseconds: 0)
    ) -> DataplaneCounters {
        dataplane.step(now: start)
        while dataplane.step(now: dataplane.now) > 0 {}
        while let deadline = dataplane.waitingDeadline { dataplane.expire(now: deadline) }
        precondition(
            PacketOrigin.allCases.allSatisfy { dataplane.counters[$0].waiting == 0 },
            "at the end of a run every frame has one fate")
        return dataplane.counters
    }
}

extension Dataplane.Configuration {
    /// For captures: their frames were addressed to somebody else's interfaces, and nobody answers ARP.
    public static var offline: Self {
        var configuration = Self()
        configuration.checksDestinationMAC = false
        configuration.inventsNeighbours = true
        return configuration
    }
}
