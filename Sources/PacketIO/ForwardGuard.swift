// `--on-death closed`: a program on each adopted interface that keeps the kernel from forwarding, and
// that is meant to outlive the daemon.
//
// It is a classic tc filter, not a pinned link: a pin lives in a mounted bpffs, and `ip netns exec` gives
// every command a mount namespace whose mounts go with it, so that neither would the pin survive the
// daemon nor `sluice down` find it. A tc filter belongs to the interface, is seen by `tc filter show`,
// and runs behind the claim (TCX programs come first).

import BPFPrograms
import CBPF
import Glibc
public import Wire

public enum ForwardGuard {
    /// Where the filter stands, and by what it is found again. The handle says whether the clsact qdisc
    /// was made for it, and so whether it goes with it.
    private static let priority: UInt32 = 0x51CE
    private static let handleWithOwnQdisc: UInt32 = 1
    private static let handleInForeignQdisc: UInt32 = 2

    /// Puts the guard on an interface; it stays until `remove`.
    public static func install(on interface: InterfaceIndex) throws(BPFError) {
        // A guard that a dead daemon left behind is replaced by this one.
        try remove(from: interface)
        let module = try BPFModule(.guard)
        var hook = hook(interface)
        let created = unsafe bpf_tc_hook_create(&hook)
        guard created == 0 || created == -EEXIST else {
            throw failure("make the clsact qdisc", interface, created)
        }
        var options = options(created == 0 ? handleWithOwnQdisc : handleInForeignQdisc)
        options.prog_fd = module.program("sluice_guard")
        let attached = unsafe bpf_tc_attach(&hook, &options)
        guard attached == 0 else {
            if created == 0 { destroyQdisc(interface) }
            throw failure("attach the guard", interface, attached)
        }
    }

    /// Takes the guard off, and its qdisc if that was made for it. Without a guard it does nothing.
    public static func remove(from interface: InterfaceIndex) throws(BPFError) {
        for handle in [handleWithOwnQdisc, handleInForeignQdisc]
        where isInstalled(on: interface, handle) {
            var hook = hook(interface)
            var options = options(handle)
            let detached = unsafe bpf_tc_detach(&hook, &options)
            guard detached == 0 else { throw failure("detach the guard", interface, detached) }
            if handle == handleWithOwnQdisc { destroyQdisc(interface) }
        }
    }

    public static func isInstalled(on interface: InterfaceIndex) -> Bool {
        isInstalled(on: interface, handleWithOwnQdisc)
            || isInstalled(on: interface, handleInForeignQdisc)
    }

    private static func isInstalled(on interface: InterfaceIndex, _ handle: UInt32) -> Bool {
        unsafe libbpf_set_print(nil)
        var hook = hook(interface)
        var options = options(handle)
        return unsafe bpf_tc_query(&hook, &options) == 0
    }

    private static func destroyQdisc(_ interface: InterfaceIndex) {
        var whole = hook(interface)
        whole.attach_point = bpf_tc_attach_point(
            rawValue: BPF_TC_INGRESS.rawValue | BPF_TC_EGRESS.rawValue)
        unsafe bpf_tc_hook_destroy(&whole)
    }

    private static func hook(_ interface: InterfaceIndex) -> bpf_tc_hook {
        var hook = bpf_tc_hook()
        hook.sz = optionsSize(through: \bpf_tc_hook.parent)
        hook.ifindex = Int32(bitPattern: interface.rawValue)
        hook.attach_point = BPF_TC_INGRESS
        return hook
    }

    private static func options(_ handle: UInt32) -> bpf_tc_opts {
        var options = bpf_tc_opts()
        options.sz = optionsSize(through: \bpf_tc_opts.priority)
        options.handle = handle
        options.priority = priority
        return options
    }

    private static func failure(
        _ operation: String, _ interface: InterfaceIndex, _ code: Int32
    ) -> BPFError {
        BPFError(
            object: "guard", operation: "\(operation) on interface \(interface.rawValue)",
            code: -code, log: "")
    }
}
