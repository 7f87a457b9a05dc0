// How a number comes about: a closure that does N packets, run until a fifth of a second has passed, five
// times over; the best run counts, since everything that disturbs only adds time.

import CAllocationCount
import Foundation

struct Measurement {
    var nanoseconds: Double
    var allocations: Double
}

private func nanosecondsNow() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// - Parameter batch: packets per call of `body`.
func measure(batch: Int, _ body: () -> Void) -> Measurement {
    body()
    var best = Measurement(nanoseconds: .infinity, allocations: .infinity)
    for _ in 0..<5 {
        let allocationsBefore = sluice_allocation_count()
        let start = nanosecondsNow()
        var packets = 0
        var end = start
        while end - start < 200_000_000 {
            body()
            packets += batch
            end = nanosecondsNow()
        }
        best.nanoseconds = min(best.nanoseconds, Double(end - start) / Double(packets))
        best.allocations = min(
            best.allocations,
            Double(sluice_allocation_count() - allocationsBefore) / Double(packets))
    }
    return best
}

/// Keeps the optimiser from dropping work whose result nobody reads.
@inline(never)
func consume<T>(_ value: T) {}

/// A number with two digits behind the point, right-aligned.
func column(_ value: Double?, width: Int = 9) -> String {
    guard let value else { return String(repeating: " ", count: width - 1) + "–" }
    let scaled = Int((value * 100).rounded())
    let fraction = String(scaled % 100)
    let text = "\(scaled / 100)." + (fraction.utf8.count == 1 ? "0" : "") + fraction
    return String(repeating: " ", count: max(0, width - text.utf8.count)) + text
}

func row(_ name: String, _ swift: Measurement, baseline: Measurement?) {
    let padded = name + String(repeating: " ", count: max(0, 44 - name.count))
    let ratio = baseline.map { swift.nanoseconds / $0.nanoseconds }
    print(
        padded, column(swift.nanoseconds), column(baseline?.nanoseconds), column(ratio),
        column(swift.allocations))
}

/// Of this process, as the kernel counts them (proc(5), statm).
func residentBytes() -> Int {
    let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    let words = text?.split(separator: " ") ?? []
    return words.count > 1 ? (Int(words[1]) ?? 0) * Int(getpagesize()) : 0
}
