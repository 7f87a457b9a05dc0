// What `sluice run` was asked for, before anything is touched.

import Conntrack
public import Dataplane
public import Offload

public struct RunConfiguration: Sendable {
    public enum OnDeath: String, CaseIterable, Sendable { case open, closed }
    public typealias Offload = RoadChoice
    /// What the ports of interfaces are.
    public enum PortKind: String, CaseIterable, Sendable {
        case packet = "af-packet"
        case xdp = "af-xdp"
    }

    public var interfaces: [String]
    public var rulesFile: String?
    /// A name as `ip netns` knows it, or a path to a namespace file.
    public var networkNamespace: String?
    public var onDeath = OnDeath.open
    public var portKind = PortKind.packet
    public var takesOver = false
    /// `--log FILE`: where the lines of LOG and TRACE rules go; standard error without it.
    public var logFile: String?
    /// `--nflog GROUP=FILE`: captures of what NFLOG rules copy.
    public var nflog: [(group: UInt16, file: String)] = []
    /// Packets on stored paths walk as well, and both are compared.
    public var verifiesPaths = false
    /// Where programs in the kernel carry established flows; `nil` for nowhere.
    public var offload: Offload?
    /// How long the packet thread looks for more before it sleeps.
    public var busyPollMicroseconds: UInt32 = 0
    public var settings = NodeSettings()
    /// The settings that `--set` named: the others of `net.ipv4` begin as the kernel has them.
    public var named: Set<String> = []
    public var seed: UInt64

    public init(interfaces: [String], seed: UInt64) {
        self.interfaces = interfaces
        self.seed = seed
    }
}

extension NodeSettings {
    /// Applies `NAME=VALUE` and returns the whole name. It is the kernel's;
    /// `net.netfilter.nf_conntrack_` may be left out.
    @discardableResult
    public mutating func set(_ assignment: String) throws(Refusal) -> String {
        let parts = assignment.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else {
            throw Refusal("--set \(assignment): expected NAME=VALUE")
        }
        let given = parts[0].replacing("/", with: ".")
        let names = [
            given, ConntrackSettings.prefix + given, "net.netfilter." + given,
        ]
        guard let setting = names.lazy.compactMap(Self.named).first else {
            let known = Self.named.filter { !$0.isReadOnly }.map(\.name).joined(separator: ", ")
            throw Refusal("--set \(assignment): expected one of \(known)")
        }
        do throws(SettingFailure) {
            try setting.write(parts[1], to: &self)
        } catch {
            throw Refusal("--set \(assignment): \(error)")
        }
        return setting.name
    }

    /// Takes over what the kernel of this network namespace has, but for `names`. What it has not, or has
    /// otherwise than Sluice could, stays as it is.
    mutating func adoptKernelValues(except names: Set<String>) {
        for setting in Self.named
        where setting.name.hasPrefix("net.ipv4.") && !names.contains(setting.name) {
            let path = "/proc/sys/" + setting.name.replacing(".", with: "/")
            guard let text = KernelSetting.read(path) else { continue }
            try? setting.write(text, to: &self)
        }
    }
}
