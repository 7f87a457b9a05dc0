import Testing
import Wire

@testable import Conntrack

/// Seeds are printed with every failure; set one here to run it again.
private let seeds: [UInt64] = [1, 2, 3, 0xC0FFEE, 987_654_321]

@Suite("Properties")
struct PropertyTests {
    @Test("the wheel ends each entry at its own nanosecond, as a list would", arguments: seeds)
    func wheel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let storage = ConnectionStorage(capacity: 400)
        var wheel = TimerWheel(now: Timestamp(nanoseconds: 0))
        var now: UInt64 = 0
        var naive: [UInt32: UInt64] = [:]
        for _ in 0..<20_000 {
            // From a fraction of a tick to days, so that all levels are used.
            let span = UInt64(1) << (10 + random.next() % 40)
            switch random.next() % 4 {
            case 0:
                let index = UInt32(random.next() % 400)
                guard naive[index] == nil else { continue }
                storage[index].expires = now + 1 + random.next() % span
                wheel.insert(index, storage)
                naive[index] = storage[index].expires
            case 1:
                // Another deadline: later ones stay where they are filed.
                guard let index = naive.keys.min() else { continue }
                storage[index].expires = now + 1 + random.next() % span
                naive[index] = storage[index].expires
                if TimerWheel.isFiledTooLate(index, storage) {
                    wheel.remove(index, storage)
                    wheel.insert(index, storage)
                }
            case 2:
                guard let index = naive.keys.max() else { continue }
                wheel.remove(index, storage)
                naive[index] = nil
            default:
                now += random.next() % span
                var ended: [UInt32] = []
                while let index = wheel.nextDue(now: Timestamp(nanoseconds: now), storage) {
                    wheel.remove(index, storage)
                    if storage[index].expires <= now {
                        ended.append(index)
                    } else {
                        wheel.insert(index, storage)
                    }
                }
                let expected = naive.filter { $0.value <= now }.keys.sorted()
                #expect(ended.sorted() == expected, "seed \(seed) at \(now)")
                for index in expected { naive[index] = nil }
                if let next = naive.values.min() {
                    let wake = wheel.nextExpiry!.nanoseconds
                    #expect(wake <= next + 1 << TimerWheel.tickShift, "seed \(seed) at \(now)")
                } else {
                    #expect(wheel.nextExpiry == nil)
                }
            }
        }
    }

    @Test("both keys and the source index appear and vanish together", arguments: seeds)
    func keys(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let table = ConnectionTable(capacity: 60, seed: seed)
        /// What must be in the table: the connection, and when it ends.
        var model: [ConnectionID: (Tuple, Tuple)] = [:]
        var now = 0.0
        func byte() -> UInt8 { UInt8(random.next() % 4) }
        for _ in 0..<4_000 {
            now += Double(random.next() % 1000) / 1000
            let at = seconds(now)
            switch random.next() % 8 {
            case 0:
                if let id = model.keys.randomElement(using: &random) { table.delete(id, now: at) }
            case 1:
                table.expire(now: at, limit: Int(random.next() % 10))
            case 2:
                let tracked = table.track(
                    .udp(Flow(UInt16(random.next() % 50))), at: at)
                if tracked.created { table.releaseUnconfirmed(tracked.connection!) }
            case 3:
                if let (_, reply) = model.values.randomElement(using: &random) {
                    let flow = Flow(
                        from: (reply.source, reply.sourcePort.rawValue),
                        to: (reply.destination, reply.destinationPort.rawValue))
                    if reply.protocol == .udp { table.pass(.udp(flow), at: at) }
                }
            default:
                let flow = Flow(
                    from: (IPv4Address(10, 1, 0, byte()), 1000 + UInt16(byte())),
                    to: (IPv4Address(10, 2, 0, byte()), 53))
                var frame = random.next() % 2 == 0 ? Frame.udp(flow) : Frame.tcp(flow, .syn)
                let snat = random.next() % 2 == 0 ? NATRange(gateway) : nil
                let dnat = random.next() % 3 == 0 ? NATRange(server) : nil
                _ = table.forward(&frame, at: at, dnat: dnat, snat: snat)
            }
            // The model is what a walk finds; the look-ups must agree with it, tuple by tuple.
            model.removeAll(keepingCapacity: true)
            var claimed = Set<Tuple>()
            _ = table.forEach(from: 0, limit: 60, now: at) { record in
                model[record.connection] = (record.original, record.reply)
                #expect(claimed.insert(record.original).inserted, "seed \(seed)")
                #expect(claimed.insert(record.reply).inserted, "seed \(seed)")
            }
            for (id, (original, reply)) in model {
                let there = table.find(original, now: at)
                let back = table.find(reply, now: at)
                #expect(there?.0 == id && there?.1 == .original, "seed \(seed)")
                #expect(back?.0 == id && back?.1 == .reply, "seed \(seed)")
            }
            #expect(
                table.linkCount == (hashed: 2 * table.confirmedCount, sources: table.boundCount))
        }
    }
}

extension ConnectionTable {
    /// Links found by walking every chain: what the accessors cannot show.
    fileprivate var linkCount: (hashed: Int, sources: Int) {
        var hashed = 0
        var sources = 0
        for bucket in 0..<storage.bucketCount {
            var link = storage.tupleHead(bucket)
            while link != noEntry {
                hashed += 1
                link = successor(Found(link: link))
            }
            var index = storage.sourceHead(bucket)
            while index != noEntry {
                sources += 1
                index = storage[index].sourceNext
            }
        }
        return (hashed, sources)
    }

    fileprivate var confirmedCount: Int { countSlots { $0.contains(.confirmed) } }
    fileprivate var boundCount: Int { countSlots { $0.contains(.sourceNATDone) } }

    private func countSlots(_ condition: (ConnectionStatus) -> Bool) -> Int {
        (0..<slotsTouched).count { index in
            let status = storage[index].status
            return condition(status) && !status.contains(.dying)
        }
    }
}
