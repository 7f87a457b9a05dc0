// Why a manifest is refused: one sentence with file, line and the path of the field.

/// A place in a manifest.
public struct ManifestPlace: Hashable, Sendable, CustomStringConvertible {
    public var file: String
    /// From 1.
    public var line: Int

    public init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    public var description: String { "\(file):\(line)" }
}

public struct ManifestError: Error, Hashable, Sendable, CustomStringConvertible {
    public var file: String
    /// From 1; `nil` where the file as a whole is at fault.
    public var line: Int?
    /// `spec.ports[0].port`, items counted from 0 as Kubernetes does; empty where no field is at fault.
    public var field: String
    /// What is wrong, and what was expected.
    public var message: String

    public init(file: String, line: Int? = nil, field: String = "", _ message: String) {
        self.file = file
        self.line = line
        self.field = field
        self.message = message
    }

    init(_ place: ManifestPlace, field: String, _ message: String) {
        self.init(file: place.file, line: place.line, field: field, message)
    }

    public var description: String {
        let place = line.map { "\(file):\($0)" } ?? file
        return field.isEmpty ? "\(place): \(message)" : "\(place): \(field): \(message)"
    }
}
