// From a stateless match or a mangling target to its text.

extension StatelessMatch {
    var text: any ExtensionText {
        switch self {
        case .iprange(let match): match
        case .length(let test): LengthText(test: test)
        case .ttl(let match): match
        case .tos(let test): TOSMatchText(test: test)
        case .dscp(let test): DSCPMatchText(test: test)
        case .mac(let test): MACText(test: test)
        case .owner(let match): match
        case .physdev(let match): match
        case .pkttype(let test): PkttypeText(test: test)
        case .rpfilter(let options): options
        case .sctp(let match): match
        case .dccp(let match): match
        case .esp(let test): SecurityIndexText(extensionName: "esp", test: test)
        case .ah(let test): SecurityIndexText(extensionName: "ah", test: test)
        }
    }
}

extension MangleTarget {
    var text: any ExtensionText {
        switch self {
        case .ttl(let target): target
        case .tos(let target): target
        case .dscp(let codePoint): DSCPTargetText(codePoint: codePoint)
        case .checksumFill: ChecksumTargetText()
        case .classify(let priority): ClassifyText(priority: priority)
        case .tcpmss(let target): target
        }
    }
}
