// What a daemon needs to be allowed to do, said in one sentence where it is not.

public struct Privileges {
    /// The kernel's capability numbers (include/uapi/linux/capability.h).
    private enum Capability: UInt64 {
        case netAdmin = 12
        case netRaw = 13
        case sysAdmin = 21
        case perfmon = 38
        case bpf = 39
    }

    private let effective: UInt64

    public init() { effective = SystemCalls.capabilities() }

    init(effective: UInt64) { self.effective = effective }

    private func has(_ capability: Capability) -> Bool {
        effective >> capability.rawValue & 1 == 1
    }

    /// What is missing, by the kernel's names.
    public var missing: [String] {
        var names: [String] = []
        if !has(.netAdmin) { names.append("CAP_NET_ADMIN") }
        if !has(.netRaw) { names.append("CAP_NET_RAW") }
        // Before Linux 5.8 loading programs was CAP_SYS_ADMIN's.
        if !has(.bpf), !has(.sysAdmin) { names.append("CAP_BPF") }
        // To read who owns a socket (`bpf/owner.h`).
        if !has(.perfmon), !has(.sysAdmin) { names.append("CAP_PERFMON") }
        return names
    }
}
