import Testing
import Wire

@testable import Hooks

@Suite("The memory of stored paths")
struct StoredPathsTests {
    @Test("a path has one name, as long as there is room; afterwards no name means another path")
    func names() throws {
        let paths = StoredPaths()
        var names: [PathID] = []
        for mark in 0..<UInt32(StoredPaths.capacity) {
            names.append(try #require(paths.insert(StoredPath(mark: mark))))
        }
        #expect(Set(names).count == names.count)
        #expect(paths.insert(StoredPath(mark: 7)) == names[7])
        #expect(paths.insert(StoredPath(mark: .max)) == nil)
        #expect(paths[names[7]].mark == 7)

        paths.count(names[7], bytes: 100)
        var counted: [UInt64] = []
        paths.settle { counted.append($1.bytes) }
        paths.settle { counted.append($1.bytes) }
        #expect(counted == [100])

        paths.removeAll()
        let next = try #require(paths.insert(StoredPath(mark: 7)))
        #expect(!names.contains(next) && paths.contains(next))
        #expect(!names.contains { paths.contains($0) })
        #expect(!paths.contains(PathID(rawValue: 0)))
    }
}
