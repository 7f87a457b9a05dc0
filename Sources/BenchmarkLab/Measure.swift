// Everything that can be measured, by name. A new measurement is a line in `Measure.all`.

import Benchmark
import Lab

public struct Measure: Sendable {
    public let name: String
    public let title: String
    /// Part of `--quick`.
    public let isQuick: Bool
    let figures: [Figure]
    /// Services in the node's rules.
    let services: Int
    /// One value per figure, `nil` where there is none.
    let run: @Sendable (Course, Double) throws(LabError) -> [Double?]

    public static let all: [Measure] = [
        frames("pps64", length: 60, flows: 1024, isQuick: true),
        frames("pps512", length: 508, flows: 1024),
        frames("pps1500", length: 1496, flows: 1024),
        frames("pps64-xdp", length: 60, flows: 1024, endsInXDP: true),
        frames("pps64-1flow", length: 60, flows: 1),
        frames("pps64-128k", length: 60, flows: 131_072),
        limits,
        transfer("stream", "One TCP stream", streams: 1, isQuick: true),
        transfer("streams", "16 TCP streams", streams: 16),
        requests, idleRequests,
        connections("connect", services: 1),
        connections("connect-10k", services: 10_000),
    ]

    private static func frames(
        _ name: String, length: Int, flows: UInt32, endsInXDP: Bool = false,
        isQuick: Bool = false
    ) -> Measure {
        let count = flows == 1 ? "one flow" : "\(flows) flows"
        let title =
            "Frames of \(length + 4) bytes, \(count), as many as come through an overload"
            + (endsInXDP ? " to a receiver that ends them in XDP" : "")
        return Measure(
            name: name, title: title, isQuick: isQuick,
            figures: [Figure(name, title, unit: "Mpps")], services: 1
        ) { course, seconds throws(LabError) in
            [
                try FrameMeasurements.overload(
                    course,
                    course.stream(length: length, flows: flows, endsInXDP: endsInXDP),
                    seconds: seconds)
            ]
        }
    }

    private static let limits = Measure(
        name: "limits64",
        title:
            "Frames of 64 bytes, 1024 flows: the highest rates without loss and with 0.5 %, and the delay at half of it",
        isQuick: false,
        figures: [
            Figure(
                "limits64-lossless", "Frames of 64 bytes: the highest rate without loss",
                unit: "Mpps"),
            Figure(
                "limits64-lossy", "Frames of 64 bytes: the highest rate with 0.5 % of loss",
                unit: "Mpps"),
        ]
            + ["50th", "99th", "99.9th"].map {
                Figure(
                    "limits64-delay-\($0)",
                    "From client to server at half the rate with 0.5 % of loss: \($0) percentile",
                    unit: "µs", isBetterHigher: false)
            },
        services: 1
    ) { course, seconds throws(LabError) in
        let limits = try FrameMeasurements.limits(
            course, course.stream(length: 60, flows: 1024), seconds: seconds)
        return [limits.lossless, limits.lossy] + limits.delays
    }

    private static func transfer(
        _ name: String, _ title: String, streams: Int, isQuick: Bool = false
    ) -> Measure {
        Measure(
            name: name, title: title, isQuick: isQuick,
            figures: [Figure(name, title, unit: "Gbit/s")], services: 1
        ) { course, seconds throws(LabError) in
            [try TransferLoad(streams: streams).run(course, seconds: seconds)]
        }
    }

    private static let requests = Measure(
        name: "rr", title: "TCP request and response, one byte each way", isQuick: true,
        figures: [
            Figure("rr", "TCP request and response, one byte each way", unit: "transactions/s")
        ]
            + ["50th", "99th", "99.9th"].map {
                Figure(
                    "rr-\($0)", "TCP request and response: \($0) percentile", unit: "µs",
                    isBetterHigher: false)
            },
        services: 1
    ) { course, seconds throws(LabError) in
        let outcome = try RequestLoad().run(course, seconds: seconds)
        return [outcome.transactionsPerSecond]
            + FrameMeasurements.percentiles.map {
                percentile($0, ofSorted: outcome.delays).map { Double($0) / 1e3 }
            }
    }

    private static let idleRequests = Measure(
        name: "rr-idle", title: "A request every 10 ms and its response", isQuick: false,
        figures: ["50th", "99th"].map {
            Figure(
                "rr-idle-\($0)", "A request every 10 ms and its response: \($0) percentile",
                unit: "µs",
                isBetterHigher: false)
        },
        services: 1
    ) { course, seconds throws(LabError) in
        let outcome = try RequestLoad(pause: 0.01).run(course, seconds: seconds)
        return [0.5, 0.99].map { percentile($0, ofSorted: outcome.delays).map { Double($0) / 1e3 } }
    }

    private static func connections(_ name: String, services: Int) -> Measure {
        let others = services == 1 ? "one service" : "the last of \(number(services)) services"
        let title = "TCP connections opened and closed, to \(others)"
        return Measure(
            name: name, title: title, isQuick: false,
            figures: [Figure(name, title, unit: "connections/s")], services: services
        ) { course, seconds throws(LabError) in
            [try ConnectionLoad().run(course, seconds: seconds)]
        }
    }

    private static func number(_ count: Int) -> String {
        count < 1000 ? "\(count)" : "\(count / 1000),000"
    }
}
