// A YAML document read field by field, as the API server reads it: types are strict (a number is no
// text), unknown fields are passed over, and `null` is a field that is not there.

import Wire
import Yams

/// One value of a document, which knows where it stands.
struct ManifestField {
    let node: Node
    let path: FieldPath
    let file: String

    /// The place of a field, put into words only where it is at fault.
    indirect enum FieldPath: CustomStringConvertible {
        case root
        case member(FieldPath, String)
        case item(FieldPath, Int)

        var description: String {
            switch self {
            case .root: ""
            case .member(.root, let name): name
            case .member(let parent, let name): "\(parent).\(name)"
            case .item(let parent, let index): "\(parent)[\(index)]"
            }
        }
    }

    init(document: Node, file: String) {
        self.init(node: document, path: .root, file: file)
    }

    private init(node: Node, path: FieldPath, file: String) {
        self.node = node
        self.path = path
        self.file = file
    }

    var place: ManifestPlace { ManifestPlace(file: file, line: node.mark?.line ?? 1) }

    func fault(_ message: String) -> ManifestError {
        ManifestError(place, field: "\(path)", message)
    }

    /// A fault of a field that is not there, at the place of what should hold it.
    func missing(_ name: String, _ message: String) -> ManifestError {
        ManifestError(place, field: "\(FieldPath.member(path, name))", message)
    }

    private var found: String {
        switch node {
        case .scalar(let scalar):
            switch ScalarKind(scalar) {
            case .text: "the text '\(scalar.string.prefix(40))'"
            case .null: "nothing"
            case .boolean, .integer, .other: scalar.string
            }
        case .mapping: "fields"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    // MARK: Fields

    /// The value of a field of this mapping; `nil` where it is missing or null.
    func member(_ name: String) throws(ManifestError) -> ManifestField? {
        guard case .mapping(let mapping) = node else {
            throw fault("expected fields, found \(found)")
        }
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key, scalar.string == name else { continue }
            if case .scalar(let scalar) = value, ScalarKind(scalar) == .null { return nil }
            return ManifestField(node: value, path: .member(path, name), file: file)
        }
        return nil
    }

    func required(_ name: String) throws(ManifestError) -> ManifestField {
        guard let field = try member(name) else { throw missing(name, "is missing") }
        return field
    }

    /// The items of the list in a field; none where it is missing.
    func items(_ name: String) throws(ManifestError) -> [ManifestField] {
        try member(name)?.items() ?? []
    }

    func items() throws(ManifestError) -> [ManifestField] {
        guard case .sequence(let sequence) = node else {
            throw fault("expected a list, found \(found)")
        }
        var items: [ManifestField] = []
        for (index, node) in sequence.enumerated() {
            items.append(ManifestField(node: node, path: .item(path, index), file: file))
        }
        return items
    }

    // MARK: Values

    func text() throws(ManifestError) -> String {
        guard case .scalar(let scalar) = node else { throw fault("expected text, found \(found)") }
        guard ScalarKind(scalar) == .text else {
            throw fault("expected text, found \(found); put it in quotes")
        }
        return scalar.string
    }

    func boolean() throws(ManifestError) -> Bool {
        guard case .scalar(let scalar) = node, case .boolean(let value) = ScalarKind(scalar) else {
            throw fault("expected true or false, found \(found)")
        }
        return value
    }

    func integer() throws(ManifestError) -> Int {
        guard case .scalar(let scalar) = node, case .integer(let value) = ScalarKind(scalar) else {
            throw fault("expected a number, found \(found)")
        }
        return value
    }

    func port() throws(ManifestError) -> Port {
        let number = try integer()
        guard let port = UInt16(exactly: number), port > 0 else {
            throw fault("\(number) is not a port (1 to 65535)")
        }
        return Port(port)
    }

    func address() throws(ManifestError) -> IPv4Address {
        let text = try text()
        guard let address = IPv4Address(text) else {
            throw fault(
                text.contains(":")
                    ? "\(text) is of another family; Sluice carries IPv4"
                    : "'\(text)' is not an IPv4 address")
        }
        return address
    }

    /// One of the words that `Value` is made of.
    func word<Value: RawRepresentable<String> & CaseIterable>(
        _ type: Value.Type
    ) throws(ManifestError) -> Value {
        let text = try text()
        guard let value = Value(rawValue: text) else {
            let words = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw fault("'\(text)' is none of \(words)")
        }
        return value
    }

    /// A name as RFC 1123 has labels, in lower case: names become part of rules and of zone files.
    func label(_ longest: Int = 63) throws(ManifestError) -> String {
        let text = try text()
        guard text.isLabel, text.utf8.count <= longest else {
            throw fault(
                "'\(text.prefix(80))' is not a name: expected up to \(longest) small letters, digits"
                    + " and '-', beginning and ending with a letter or digit")
        }
        return text
    }
}

extension String {
    var isLabel: Bool {
        let bytes = Array(utf8)
        guard let first = bytes.first, let last = bytes.last else { return false }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (97...122).contains(byte) || (48...57).contains(byte)
        }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && bytes.allSatisfy { isAlphanumeric($0) || $0 == 45 }
    }

    /// Labels with dots between them.
    var isDomainName: Bool {
        utf8.count <= 253
            && split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                String($0).isLabel && $0.utf8.count <= 63
            }
    }
}

/// What a scalar is by YAML 1.2's core schema, which is also that of JSON.
enum ScalarKind: Equatable {
    case text
    case null
    case boolean(Bool)
    case integer(Int)
    /// A number that is no integer.
    case other

    init(_ scalar: Node.Scalar) {
        guard scalar.style == .plain || scalar.style == .any else {
            self = .text
            return
        }
        let text = scalar.string
        switch text {
        case "", "~", "null", "Null", "NULL": self = .null
        case "true", "True", "TRUE": self = .boolean(true)
        case "false", "False", "FALSE": self = .boolean(false)
        default:
            if let first = text.utf8.first, (48...57).contains(first) || first == 45 || first == 43
            {
                self = Int(text).map { .integer($0) } ?? (Double(text) != nil ? .other : .text)
            } else {
                self = .text
            }
        }
    }
}
