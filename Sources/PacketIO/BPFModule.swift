// A loaded BPF object: its maps and programs, by name. The kernel frees them when their descriptors are
// closed, that is with this object or with the process, whatever ends first.

import BPFPrograms
import CBPF
import CLinux
import Glibc

/// A BPF object that the kernel refused.
public struct BPFError: Error, Sendable, CustomStringConvertible {
    public var object: String
    public var operation: String
    public var code: Int32
    /// The end of the verifier's log, where there is one.
    public var log: String

    package init(object: String, operation: String, code: Int32, log: String) {
        self.object = object
        self.operation = operation
        self.code = code
        self.log = log
    }

    public var description: String {
        let reason = unsafe String(cString: strerror(code))
        let hint =
            code == EPERM
            ? "; it takes CAP_BPF and CAP_NET_ADMIN" : log.isEmpty ? "" : "\n" + log
        return "cannot \(operation) (BPF object \(object)): \(reason)\(hint)"
    }
}

@safe package final class BPFModule {
    private let name: String
    private let object: OpaquePointer

    /// Loads `source`; maps named in `sharing` are not created but taken over from the descriptor, and those in
    /// `entries` hold as many as it says.
    package init(
        _ source: BPFObject, sharing: [String: Int32] = [:], entries: [String: UInt32] = [:]
    ) throws(BPFError) {
        // libbpf writes to stderr unless told otherwise; what matters is in the error.
        unsafe libbpf_set_print(nil)
        name = source.name
        let bytes = source.bytes
        var log = [CChar](repeating: 0, count: 1 << 16)
        let opened: OpaquePointer? = unsafe log.withUnsafeMutableBufferPointer { log in
            unsafe bytes.withUnsafeBytes { image in
                var options = unsafe bpf_object_open_opts()
                unsafe options.sz = optionsSize(through: \bpf_object_open_opts.kernel_log_level)
                unsafe options.kernel_log_buf = log.baseAddress
                unsafe options.kernel_log_size = log.count
                let object = unsafe bpf_object__open_mem(image.baseAddress, image.count, &options)
                guard let object = unsafe object else { return nil }
                for (map, descriptor) in sharing {
                    let shared = unsafe bpf_object__find_map_by_name(object, map)
                    unsafe bpf_map__reuse_fd(shared, descriptor)
                }
                for (map, count) in entries {
                    let sized = unsafe bpf_object__find_map_by_name(object, map)
                    unsafe bpf_map__set_max_entries(sized, count)
                }
                guard unsafe bpf_object__load(object) == 0 else {
                    let code = errno
                    unsafe bpf_object__close(object)
                    errno = code
                    return nil
                }
                return unsafe object
            }
        }
        guard let opened = unsafe opened else {
            let code = errno
            let text = String(
                decoding: log.prefix { $0 != 0 }.suffix(2000).map { UInt8(bitPattern: $0) },
                as: UTF8.self)
            throw BPFError(
                object: source.name, operation: "load the programs", code: code, log: text)
        }
        unsafe object = opened
    }

    deinit { unsafe bpf_object__close(object) }

    package func program(_ name: String) -> Int32 {
        let program = unsafe bpf_object__find_program_by_name(object, name)
        precondition(unsafe program != nil, "bpf/\(self.name).bpf.c has no program \(name)")
        return unsafe bpf_program__fd(program)
    }

    package func map(_ name: String) -> Int32 {
        let map = unsafe bpf_object__find_map_by_name(object, name)
        precondition(unsafe map != nil, "bpf/\(self.name).bpf.c has no map \(name)")
        return unsafe bpf_map__fd(map)
    }

    /// Attaches a program to an interface's tc hook through a link that lives as long as its descriptor.
    package func attach(_ program: String, to interface: UInt32, _ hook: TrafficHook)
        throws(BPFError)
        -> Int32
    {
        let link = bpf_link_create(
            self.program(program), Int32(bitPattern: interface), bpf_attach_type(hook.rawValue), nil
        )
        guard link >= 0 else {
            throw BPFError(
                object: name, operation: "attach \(program) to interface \(interface) (Linux 6.6)",
                code: -link, log: "")
        }
        return link
    }

    /// The same for an interface's XDP hook, in the driver or in generic mode.
    package func attachXDP(
        _ program: String, to interface: UInt32, generic: Bool
    ) throws(BPFError) -> Int32 {
        var options = unsafe bpf_link_create_opts()
        unsafe options.sz = optionsSize(through: \bpf_link_create_opts.flags)
        unsafe options.flags = UInt32(generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE)
        let link = unsafe bpf_link_create(
            self.program(program), Int32(bitPattern: interface), BPF_XDP, &options)
        guard link >= 0 else {
            let reason =
                link == -EBUSY || link == -EEXIST ? ", which has another XDP program already" : ""
            throw BPFError(
                object: name, operation: "attach \(program) to interface \(interface)\(reason)",
                code: -link, log: "")
        }
        return link
    }
}

/// The size that an options struct of libbpf states: up to the end of its last field and no further,
/// because libbpf refuses a struct whose padding is not zero, and Swift leaves padding as it is.
package func optionsSize<Options, Field>(through last: KeyPath<Options, Field>) -> Int {
    guard let offset = MemoryLayout<Options>.offset(of: last) else {
        preconditionFailure("an options struct has stored fields only")
    }
    return offset + MemoryLayout<Field>.size
}

/// Where on an interface a program is attached: enum bpf_attach_type's values, by number because the
/// headers of Debian 12 are older than they are.
package enum TrafficHook: UInt32 {
    /// BPF_TCX_INGRESS
    case ingress = 46
    /// BPF_TCX_EGRESS
    case egress = 47
}
