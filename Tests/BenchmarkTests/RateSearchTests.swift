import Testing

@testable import Benchmark

/// Carries so much and loses the rest.
private struct Device {
    var capacity: Double
    var baseLoss = 0.0
    var trials = 0

    mutating func offer(_ rate: Double) -> RateSearch.Trial {
        trials += 1
        return RateSearch.Trial(rate: rate, loss: max(baseLoss, 1 - capacity / rate))
    }
}

@Suite("The search for a rate") struct RateSearchTests {
    @Test(
        "comes within its precision of what a device can carry, from below",
        arguments: [3.0, 70, 640, 999])
    func finds(capacity: Double) throws {
        var device = Device(capacity: capacity)
        var search = RateSearch(maximum: 1000, precision: 0.02, limit: 20)
        let rate = try #require(search.rate(losingAtMost: 0) { device.offer($0) })
        #expect(rate <= capacity && rate >= capacity * 0.97)
    }

    @Test("a goal that allows loss gets a higher rate, and the trials of the other goal serve it")
    func goals() throws {
        var device = Device(capacity: 500)
        var search = RateSearch(maximum: 1000, precision: 0.002, limit: 20)
        let lossless = try #require(search.rate(losingAtMost: 0) { device.offer($0) })
        let alone = device.trials
        let lossy = try #require(search.rate(losingAtMost: 0.02) { device.offer($0) })
        #expect(lossless <= 500 && lossless > 498)
        #expect(lossy > 505 && lossy <= 500 / 0.98)
        #expect(device.trials < 2 * alone)
    }

    @Test("a device that carries everything gets the highest rate, in one trial")
    func unlimited() {
        var device = Device(capacity: .infinity)
        var search = RateSearch(maximum: 1000)
        #expect(search.rate(losingAtMost: 0) { device.offer($0) } == 1000)
        #expect(device.trials == 1)
    }

    @Test("a device that always loses has no rate without loss, and the search ends")
    func hopeless() {
        var device = Device(capacity: 500, baseLoss: 0.01)
        var search = RateSearch(maximum: 1000, limit: 12)
        #expect(search.rate(losingAtMost: 0) { device.offer($0) } == nil)
        #expect(device.trials == 12)
    }

    @Test("whatever chance does, a goal that allows more never has the lower rate")
    func order() throws {
        for seed in UInt64(1)...200 {
            var state = seed
            var search = RateSearch(maximum: 1000, limit: 8)
            let offer = { (rate: Double) -> RateSearch.Trial in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let chance = Double(state >> 33) / Double(1 << 31)
                return RateSearch.Trial(
                    rate: rate, loss: chance < 0.5 ? 0 : chance < 0.75 ? 0.004 : 0.1)
            }
            _ = search.rate(losingAtMost: 0.005, offer: offer)
            let lossless = search.rate(losingAtMost: 0, offer: offer)
            let lossy = search.best(losingAtMost: 0.005)
            #expect(lossless ?? 0 <= lossy ?? 0, "seed \(seed)")
        }
    }

    @Test("a device that loses everything is offered less and less, down to a thousandth")
    func dead() {
        var search = RateSearch(maximum: 1000, limit: 12)
        for goal in [0.005, 0] {
            #expect(search.rate(losingAtMost: goal) { RateSearch.Trial(rate: $0, loss: 1) } == nil)
        }
        #expect(search.trials.count == 4)
        #expect(search.trials.allSatisfy { $0.rate >= 1 })
    }

    @Test("the answer is what was offered in fact where the load cannot do more")
    func weakLoad() {
        var search = RateSearch(maximum: 1000)
        let rate = search.rate(losingAtMost: 0) { rate in
            RateSearch.Trial(rate: min(rate, 300), loss: 0)
        }
        #expect(rate == 300)
        #expect(search.trials.count == 1)
    }

    @Test("luck at a high rate does not count once a lower one has failed")
    func luck() throws {
        var offered: [Double] = []
        var search = RateSearch(maximum: 1000, precision: 0.02, limit: 20)
        _ = search.rate(losingAtMost: 0.5) { RateSearch.Trial(rate: $0, loss: 0) }
        let rate = try #require(
            search.rate(losingAtMost: 0) { rate in
                offered.append(rate)
                return RateSearch.Trial(rate: rate, loss: rate > 200 ? 0.1 : 0)
            })
        // The first goal's trial at 1000 was good for this goal, too: nothing more to try.
        #expect(rate == 1000 && offered.isEmpty)
        var unlucky = RateSearch(maximum: 1000, precision: 0.02, limit: 20)
        var tried = 0
        let sure = try #require(
            unlucky.rate(losingAtMost: 0) { rate in
                tried += 1
                // Bad, then good by luck; a load that then offers less than it was asked for is bad below that.
                if tried == 3 { return RateSearch.Trial(rate: 600, loss: 0.1) }
                return RateSearch.Trial(rate: rate, loss: tried == 2 || rate <= 200 ? 0 : 0.1)
            })
        #expect(unlucky.trials[1].rate > 600 && unlucky.trials[1].loss == 0)
        #expect(sure <= 200)
    }
}
