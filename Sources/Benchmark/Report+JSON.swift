// The report for other programs.

import Foundation

extension Report {
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Numbers that are not finite are never recorded, and nothing else can fail to encode.
        guard let data = try? encoder.encode(self) else {
            preconditionFailure("a report consists of texts and finite numbers")
        }
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    public init(json: String) throws {
        self = try JSONDecoder().decode(Report.self, from: Data(json.utf8))
    }
}
