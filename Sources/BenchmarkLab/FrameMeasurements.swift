// What is measured with frames: how many come through an overload, how many can be offered before some are lost,
// and how long they take meanwhile.

import Benchmark
import Glibc
import Lab

enum FrameMeasurements {
    /// Mpps that arrive while the generator sends as fast as it can.
    static func overload(
        _ course: Course, _ stream: FrameStream, seconds: Double
    ) throws(LabError) -> Double {
        try course.withFrames(stream) { load throws(LabError) in
            try load.sending { () throws(LabError) in
                try warmUp(load, flows: stream.flows)
                let before = load.count
                usleep(UInt32(seconds * 1e6))
                let after = load.count
                guard after.received > before.received else { throw LabError("no frame arrived") }
                return Double(after.received - before.received) / (after.seconds - before.seconds)
                    / 1e6
            }
        }
    }

    /// Until each flow has had its turn, but not for ever.
    private static func warmUp(_ load: FrameLoad, flows: UInt32) throws(LabError) {
        let end = secondsNow() + 2
        while load.count.received < UInt64(flows), secondsNow() < end { usleep(5000) }
        usleep(100_000)
    }

    struct Limits {
        /// Mpps; `nil` where every trial lost frames.
        var lossless: Double?
        var lossy: Double?
        /// Microseconds at half the rate of `lossy`: the 50th, 99th and 99.9th percentile.
        var delays: [Double?]
    }

    /// What the second rate may lose.
    static let allowedLoss = 0.005

    /// Searches both rates, and measures the delay at half of the second.
    static func limits(
        _ course: Course, _ stream: FrameStream, seconds: Double
    ) throws(LabError) -> Limits {
        try course.withFrames(stream) { load throws(LabError) in
            let maximum = try load.sending { () throws(LabError) in
                try warmUp(load, flows: stream.flows)
                let before = load.count
                usleep(UInt32(seconds * 5e5))
                let after = load.count
                guard after.sent > before.sent else {
                    throw LabError("no frame left the generator")
                }
                return Double(after.sent - before.sent) / (after.seconds - before.seconds)
            }
            var search = RateSearch(maximum: maximum)
            let lossy: Double?
            let lossless: Double?
            do {
                let offer = { (rate: Double) in try trial(load, rate, seconds: seconds / 2) }
                _ = try search.rate(losingAtMost: allowedLoss, offer: offer)
                lossless = try search.rate(losingAtMost: 0, offer: offer)
                lossy = search.best(losingAtMost: allowedLoss)
            } catch {
                throw LabError("\(error)")
            }
            var delays: [Double?] = [nil, nil, nil]
            if let lossy {
                _ = try trial(load, lossy / 2, seconds: seconds / 2)
                let sorted = load.sortedDelays
                delays = percentiles.map {
                    percentile($0, ofSorted: sorted).map { Double($0) / 1e3 }
                }
            }
            return Limits(
                lossless: lossless.map { $0 / 1e6 }, lossy: lossy.map { $0 / 1e6 }, delays: delays)
        }
    }

    static let percentiles = [0.5, 0.99, 0.999]

    private static func trial(
        _ load: FrameLoad, _ rate: Double, seconds: Double
    ) throws(LabError) -> RateSearch.Trial {
        let frames = UInt64(max(1, rate * seconds))
        return try load.sending(rate: rate, limit: frames) { () throws(LabError) in
            // A generator that cannot offer a rate has the time for half of it.
            load.waitUntilSent(frames, seconds: 0.1 + 2 * seconds)
            let count = load.count
            guard count.sent > 0 else { throw LabError("no frame left the generator") }
            return RateSearch.Trial(
                rate: min(rate, Double(count.sent) / count.sendingSeconds),
                loss: 1 - min(1, Double(count.received) / Double(count.sent)))
        }
    }
}
