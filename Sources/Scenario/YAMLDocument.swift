// A YAML file read field by field, so that every fault names its file, line, column, path and what was
// expected. Values are taken as they are written: no guessing of types.

import Wire
import Yams

/// A parsed file, and where each field of it was found.
final class YAMLDocument {
    let file: String
    private let lines: [Substring]
    /// Fields read so far, by path.
    private var scalars: [String: (mark: Mark, style: Node.Scalar.Style)] = [:]
    private let node: Node
    /// Made anew each time: a field holds its document.
    var root: YAMLField { YAMLField(node: node, path: "", document: self) }

    init(_ text: String, file: String) throws(CaseError) {
        self.file = file
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let node: Node?
        do { node = try compose(yaml: text) } catch let error as YamlError {
            throw Self.fault(error, file)
        } catch {
            throw CaseError(file: file, "\(error)")
        }
        guard let node else { throw CaseError(file: file, "the file is empty") }
        self.node = node
    }

    private static func fault(_ error: YamlError, _ file: String) -> CaseError {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            CaseError(file: file, line: mark.line, column: mark.column, "no YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            CaseError(
                file: file, line: context.mark.line, column: context.mark.column,
                "written twice: \(keys.sorted().joined(separator: ", "))")
        default: CaseError(file: file, "no YAML: \(error)")
        }
    }

    fileprivate func note(_ field: YAMLField) {
        guard let mark = field.node.mark else { return }
        scalars[field.path] = (mark, field.node.scalar?.style ?? .any)
    }

    /// A fault that knows its field, with the field's place in the file.
    func located(_ fault: CaseError) -> CaseError {
        var fault = fault
        fault.file = file
        guard let (mark, style) = scalars[fault.field] else { return fault }
        let (line, column) = (fault.line, fault.column)
        (fault.line, fault.column) = (mark.line, mark.column)
        guard let line else { return fault }
        switch style {
        case .literal:
            // The block begins on the line behind its mark, indented.
            let number = mark.line + line
            let indentation =
                number <= lines.count ? lines[number - 1].prefix { $0 == " " }.count : 0
            fault.line = number
            fault.column = column.map { $0 + indentation }
        case .singleQuoted, .doubleQuoted:
            if line == 1 { fault.column = column.map { mark.column + $0 } }
        default:
            if line == 1 { fault.column = column.map { mark.column + $0 - 1 } }
        }
        return fault
    }
}

/// One value of a document with its path.
struct YAMLField {
    let node: Node
    let path: String
    private let document: YAMLDocument

    fileprivate init(node: Node, path: String, document: YAMLDocument) {
        self.node = node
        self.path = path
        self.document = document
        document.note(self)
    }

    /// A fault at this field.
    func fault(_ message: String, line: Int? = nil, column: Int? = nil) -> CaseError {
        document.located(CaseError(line: line, column: column, field: path, message))
    }

    private var found: String {
        switch node {
        case .scalar(let scalar) where scalar.string.isEmpty: "nothing"
        case .scalar(let scalar): "'\(scalar.string.prefix(40))'"
        case .mapping: "fields"
        case .sequence: "a list"
        case .alias: "an alias"
        }
    }

    /// The fields of a mapping in their order, by name.
    func entries() throws(CaseError) -> [(name: String, field: YAMLField)] {
        guard case .mapping(let mapping) = node else {
            throw fault("expected fields, found \(found)")
        }
        var entries: [(name: String, field: YAMLField)] = []
        for (key, value) in mapping {
            guard let name = key.scalar?.string, !name.isEmpty else {
                throw fault("expected names of fields")
            }
            let path = path.isEmpty ? name : "\(path).\(name)"
            entries.append((name, YAMLField(node: value, path: path, document: document)))
        }
        return entries
    }

    /// The fields of a mapping that may have no others than these.
    func fields(_ known: [String]) throws(CaseError) -> [String: YAMLField] {
        var fields: [String: YAMLField] = [:]
        for (name, field) in try entries() {
            guard known.contains(name) else {
                throw field.fault("no such field; expected one of \(known.joined(separator: ", "))")
            }
            fields[name] = field
        }
        return fields
    }

    func items() throws(CaseError) -> [YAMLField] {
        guard case .sequence(let sequence) = node else {
            throw fault("expected a list, found \(found)")
        }
        var items: [YAMLField] = []
        for (index, item) in sequence.enumerated() {
            items.append(YAMLField(node: item, path: "\(path)[\(index + 1)]", document: document))
        }
        return items
    }

    func text() throws(CaseError) -> String {
        guard case .scalar(let scalar) = node else { throw fault("expected text, found \(found)") }
        return scalar.string
    }

    /// The value that the text stands for; `expected` says what it should have been.
    func value<Value>(
        _ expected: String, _ parse: (String) -> Value?
    ) throws(CaseError) -> Value {
        guard case .scalar(let scalar) = node, let value = parse(scalar.string) else {
            throw fault("expected \(expected), found \(found)")
        }
        return value
    }

    func number<Number: FixedWidthInteger>(
        _ range: ClosedRange<Number>
    ) throws(CaseError) -> Number {
        try value("a number from \(range.lowerBound) to \(range.upperBound)") { text in
            // No sign, no spaces, nothing that reads otherwise elsewhere.
            guard !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
            return Number(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }
}
