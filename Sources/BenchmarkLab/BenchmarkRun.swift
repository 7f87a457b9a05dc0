// Every road in turn, round after round, in another order each time.

public import Benchmark
public import Lab

public struct BenchmarkRun: Sendable {
    public var roads: [Road]
    public var measures: [Measure]
    public var rounds: Int
    /// How long each load is measured.
    public var seconds: Double

    public init(roads: [Road], measures: [Measure], rounds: Int, seconds: Double) {
        precondition(rounds > 0 && seconds > 0, "there is something to measure")
        self.roads = roads
        self.measures = measures
        self.rounds = rounds
        self.seconds = seconds
    }

    /// Measures, in a lab that ends with the process. What a road cannot do is a remark in its row.
    /// - Parameters:
    ///   - version, command: as the report is to say them.
    ///   - progress: gets a line now and then.
    public func report(
        version: String, command: String, progress: (String) -> Void
    ) throws(LabError) -> Report {
        // The load that is reported must not be the lab's own.
        var circumstances = Machine.circumstances(version: version, command: command, notes: [])
        let network = try BenchmarkNetwork()
        circumstances.notes = [
            Placement.description, try network.offloads(),
            "The kernel and Sluice translate both addresses and ask for the state of connections; other forwarders change nothing but Ethernet addresses.",
        ]
        var results = Results(
            roads: roads.map(\.description), reference: Road.reference.name,
            control: Road.control.name)
        measuring: for round in 0..<rounds {
            for index in roundOrder(of: roads.count, round: round) {
                let road = roads[index]
                let place = "round \(round + 1) of \(rounds): \(road.description.title)"
                progress(place)
                do throws(LabError) {
                    try measure(road, round, network, &results)
                } catch {
                    // What is left of this road would be measured with the next; what there is stays.
                    circumstances.notes.append("Ended in \(place): \(error)")
                    break measuring
                }
            }
        }
        return results.report(circumstances)
    }

    /// Opens the road once for each number of services that is asked for.
    private func measure(
        _ road: Road, _ round: Int, _ network: BenchmarkNetwork, _ results: inout Results
    ) throws(LabError) {
        for services in Set(measures.map(\.services)).sorted() {
            let chosen = measures.filter { $0.services == services }
            let open: OpenRoad
            do {
                open = try OpenRoad(road, network, rules: NodeRules(services: services))
            } catch {
                for measure in chosen {
                    measure.fail(road, round, error.description, &results)
                }
                continue
            }
            let course = Course(network: network, translation: road.translation)
            for measure in chosen {
                do throws(LabError) {
                    let values = try measure.run(course, seconds)
                    for (figure, value) in zip(measure.figures, values) {
                        if let value {
                            results.record(figure, road: road.name, round: round, value)
                        } else {
                            results.record(
                                figure, road: road.name, round: round, failure: "no rate was good")
                        }
                    }
                } catch {
                    measure.fail(road, round, open.obstacle ?? error.description, &results)
                }
            }
            try open.close()
        }
    }
}

extension Measure {
    fileprivate func fail(_ road: Road, _ round: Int, _ reason: String, _ results: inout Results) {
        // The end of what a program says is why it ended.
        let reason = reason.count > 200 ? "… \(reason.suffix(200))" : reason
        for figure in figures {
            results.record(figure, road: road.name, round: round, failure: reason)
        }
    }
}
