import Testing

@testable import Benchmark

@Suite("The median's interval") struct MedianTests {
    @Test(
        "reaches from smallest to largest of seven values, and from the 6th of 20 to its counterpart"
    )
    func known() throws {
        // The classical table of order statistics for 95 %.
        let seven = try #require(Median(of: [7, 1, 3, 2, 6, 5, 4]))
        #expect((seven.value, seven.low, seven.high) == (4, 1, 7))
        #expect(abs(seven.confidence - 0.984375) < 1e-12)
        let twenty = try #require(Median(of: (1...20).map(Double.init)))
        #expect((twenty.value, twenty.low, twenty.high) == (10.5, 6, 15))
        #expect(abs(twenty.confidence - 0.958611) < 1e-5)
    }

    @Test("claims nothing about a single value, and less than was asked about five")
    func few() throws {
        let one = try #require(Median(of: [3]))
        #expect((one.value, one.low, one.high, one.confidence) == (3, 3, 3, 0))
        let five = try #require(Median(of: [1, 2, 3, 4, 5]))
        #expect((five.low, five.high) == (1, 5))
        #expect(abs(five.confidence - 0.9375) < 1e-12)
        #expect(Median(of: []) == nil)
    }

    @Test("is as sure as it says: values drawn by chance hold the median inside that often")
    func coverage() throws {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        var inside = 0
        let tries = 4000
        for _ in 0..<tries {
            let values = (0..<11).map { _ -> Double in
                // xorshift64: equally likely between 0 and 1, so the median is one half.
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                return Double(state >> 11) / Double(1 << 53)
            }
            let median = try #require(Median(of: values))
            #expect(median.confidence >= 0.95)
            if median.low <= 0.5, median.high >= 0.5 { inside += 1 }
        }
        // 0.988 for 11 values; the seed is fixed.
        #expect(abs(Double(inside) / Double(tries) - 0.988) < 0.006)
    }

    @Test("percentiles are samples: the nearest rank")
    func percentiles() {
        let samples = Array(1...200)
        #expect(percentile(0.5, ofSorted: samples) == 100)
        #expect(percentile(0.99, ofSorted: samples) == 198)
        #expect(percentile(0.999, ofSorted: samples) == 200)
        #expect(percentile(0, ofSorted: samples) == 1)
        #expect(percentile(1, ofSorted: samples) == 200)
        #expect(percentile(0.5, ofSorted: [Int]()) == nil)
    }
}
