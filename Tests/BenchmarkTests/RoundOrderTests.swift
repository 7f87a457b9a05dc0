import Testing

@testable import Benchmark

@Suite("The order of a round") struct RoundOrderTests {
    @Test(
        "gives every road each place once, and hardly ever the same one before it",
        arguments: 1...12)
    func balance(count: Int) {
        let orders = (0..<count).map { roundOrder(of: count, round: $0) }
        for order in orders { #expect(order.sorted() == Array(0..<count)) }
        for road in 0..<count {
            let places = orders.compactMap { $0.firstIndex(of: road) }
            #expect(places.sorted() == Array(0..<count))
            let before = zip(orders, places).filter { $1 > 0 }.map { $0[$1 - 1] }
            let most = Dictionary(grouping: before) { $0 }.values.map(\.count).max() ?? 0
            #expect(most <= (count % 2 == 0 ? 1 : 2), "road \(road): \(before)")
        }
    }
}
