// A file of manifests: YAML or JSON, several documents, each an object or a List of them.

import Yams

/// What Sluice carries out of what a manifest may hold.
public enum ManifestObject: Hashable, Sendable {
    case service(Service)
    case slice(EndpointSlice)
}

public struct Manifest: Sendable {
    public private(set) var objects: [ManifestObject] = []
    /// Objects of other kinds, which are passed over: a sentence each.
    public private(set) var remarks: [String] = []
    private let file: String

    /// Reads a whole file; the first fault refuses all of it.
    ///
    /// - Parameter file: the name that messages call it by.
    public init(_ text: String, file: String) throws(ManifestError) {
        self.file = file
        for document in try Self.documents(text, file: file) {
            try add(ManifestField(document: document, file: file))
        }
    }

    private static func documents(_ text: String, file: String) throws(ManifestError) -> [Node] {
        var documents: [Node] = []
        do {
            let parser = try Parser(yaml: text)
            while let node = try parser.nextRoot() { documents.append(node) }
        } catch let error as YamlError {
            throw fault(error, file)
        } catch {
            throw ManifestError(file: file, "no YAML: \(error)")
        }
        return documents
    }

    private static func fault(_ error: YamlError, _ file: String) -> ManifestError {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            ManifestError(file: file, line: mark.line, "no YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            ManifestError(
                file: file, line: context.mark.line,
                "written twice: \(keys.sorted().joined(separator: ", "))")
        default: ManifestError(file: file, "no YAML: \(error)")
        }
    }

    /// An object, or a list of them; a document without anything in it is none.
    private mutating func add(_ field: ManifestField) throws(ManifestError) {
        if case .scalar(let scalar) = field.node, ScalarKind(scalar) == .null { return }
        let version = try field.required("apiVersion").text()
        let kind = try field.required("kind").text()
        switch (version, kind) {
        case ("v1", "Service"): objects.append(.service(try Service(field)))
        case ("v1", "Endpoints"): objects.append(.slice(try EndpointSlice(endpoints: field)))
        case ("discovery.k8s.io/v1", "EndpointSlice"),
            ("discovery.k8s.io/v1beta1", "EndpointSlice"):
            objects.append(.slice(try EndpointSlice(field)))
        case (_, "List"), (_, "ServiceList"), (_, "EndpointSliceList"), (_, "EndpointsList"):
            for item in try field.items("items") { try add(item) }
        case (_, "Service"), (_, "EndpointSlice"), (_, "Endpoints"):
            let known = kind == "EndpointSlice" ? "discovery.k8s.io/v1" : "v1"
            throw try field.required("apiVersion").fault(
                "'\(version)' has no \(kind); \(known) has")
        default:
            remarks.append("\(field.place): \(kind) is passed over: it makes no rules")
        }
    }
}

extension ManifestField {
    /// `metadata.name` and `metadata.namespace`, which is `default` where none is said.
    func objectName() throws(ManifestError) -> ObjectName {
        let metadata = try required("metadata")
        return ObjectName(
            namespace: try metadata.member("namespace")?.label() ?? "default",
            name: try metadata.required("name").objectLabel())
    }

    /// Slices may have dots in their names (RFC 1123 subdomains).
    private func objectLabel() throws(ManifestError) -> String {
        let text = try text()
        guard text.isDomainName else {
            throw fault(
                "'\(text.prefix(80))' is not a name: expected small letters, digits, '-' and '.'")
        }
        return text
    }

    /// The annotation with the shares of endpoints.
    func weights() throws(ManifestError) -> Weights {
        guard let annotations = try member("metadata")?.member("annotations"),
            let field = try annotations.member(Weights.annotation)
        else { return Weights() }
        do { return try Weights(try field.text()) } catch let failure as Weights.Failure {
            throw field.fault("\(failure)")
        } catch let error as ManifestError {
            throw error
        } catch {
            throw field.fault("\(error)")
        }
    }

    func transport() throws(ManifestError) -> Transport {
        guard let field = try member("protocol") else { return .tcp }
        let text = try field.text()
        guard let transport = Transport(rawValue: text) else {
            throw field.fault("'\(text)' is not carried by Services here: expected TCP or UDP")
        }
        return transport
    }
}
