// `sluice doctor`: what Sluice needs of this machine, a line each, and what to do where it is missing.
// It looks and tries, and leaves nothing behind.

import CLinux
import Glibc
import Lab
import PacketIO

public struct Doctor {
    public struct Finding: Hashable, Sendable {
        public enum Verdict: String, Sendable {
            case ok
            case missing
            /// Sluice works without it, or with a person's help.
            case note
        }
        public var verdict: Verdict
        public var subject: String
        /// What was found, or what to do.
        public var explanation: String

        public var line: String {
            let word = verdict.rawValue
            return word + String(repeating: " ", count: 9 - word.count) + subject + ": "
                + explanation + "\n"
        }
    }

    /// In the network namespace of the calling thread.
    public static func examine() -> [Finding] {
        [
            capabilities(), kernelVersion(), typeInformation(), packetSockets(), xdpSockets(),
            tapDevices(),
            programs(), forwarding(), bridges(), kernelRules(), daemon(),
        ] + tools()
    }

    private static func capabilities() -> Finding {
        let missing = Privileges().missing
        return missing.isEmpty
            ? Finding(verdict: .ok, subject: "capabilities", explanation: "all there")
            : Finding(
                verdict: .missing, subject: "capabilities",
                explanation: "run as root, or grant \(missing.joined(separator: ", "))")
    }

    /// TCX links are the youngest thing that Sluice uses.
    private static func kernelVersion() -> Finding {
        let release = KernelSetting.read("/proc/sys/kernel/osrelease") ?? "unknown"
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        let fits = numbers.count == 2 && (numbers[0], numbers[1]) >= (6, 6)
        return Finding(
            verdict: fits ? .ok : .missing, subject: "kernel",
            explanation: fits ? release : "\(release); Linux 6.6 or later is needed for TCX links")
    }

    private static func typeInformation() -> Finding {
        let present = SystemCalls.isReadable("/sys/kernel/btf/vmlinux")
        return Finding(
            verdict: present ? .ok : .missing, subject: "BTF",
            explanation: present
                ? "the kernel describes its types"
                : "/sys/kernel/btf/vmlinux is not there (CONFIG_DEBUG_INFO_BTF, or /sys not mounted)"
        )
    }

    private static func packetSockets() -> Finding {
        let number = sluice_packet_open()
        if number >= 0 { close(number) }
        return Finding(
            verdict: number >= 0 ? .ok : .missing, subject: "AF_PACKET",
            explanation: number >= 0
                ? "packet sockets open"
                : "\(SystemError("open a packet socket", number: -number)) (CONFIG_PACKET, CAP_NET_RAW)"
        )
    }

    private static func xdpSockets() -> Finding {
        let number = sluice_xsk_open()
        if number >= 0 { close(number) }
        return Finding(
            verdict: number >= 0 ? .ok : .note, subject: "AF_XDP",
            explanation: number >= 0
                ? "XDP sockets open"
                : "\(SystemError("open an XDP socket", number: -number)) (CONFIG_XDP_SOCKETS);"
                    + " only 'sluice run --io af-xdp' needs it")
    }

    private static func tapDevices() -> Finding {
        do {
            _ = try SystemCalls.open("/dev/net/tun", O_RDWR)
            return Finding(verdict: .ok, subject: "TUN/TAP", explanation: "/dev/net/tun opens")
        } catch {
            return Finding(
                verdict: .missing, subject: "TUN/TAP", explanation: "\(error); try 'modprobe tun'")
        }
    }

    private static func programs() -> Finding {
        do {
            _ = try NodePrograms()
            return Finding(verdict: .ok, subject: "BPF", explanation: "the programs load")
        } catch {
            return Finding(
                verdict: .missing, subject: "BPF",
                explanation: "\(error) (CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_ACT, CAP_BPF)")
        }
    }

    private static func forwarding() -> Finding {
        let isOn = KernelSetting.read("/proc/sys/net/ipv4/ip_forward") == "1"
        return Finding(
            verdict: isOn ? .ok : .note, subject: "forwarding",
            explanation: isOn
                ? "net.ipv4.ip_forward is 1"
                : "net.ipv4.ip_forward is 0: this node is no router, and Sluice will not make it one"
        )
    }

    private static func bridges() -> Finding {
        let value = KernelSetting.read("/proc/sys/net/bridge/bridge-nf-call-iptables")
        guard value == "1" else {
            return Finding(
                verdict: .ok, subject: "bridges", explanation: "bridged frames pass no IP rules")
        }
        return Finding(
            verdict: .note, subject: "bridges",
            explanation: "to adopt a bridge, first 'sysctl net.bridge.bridge-nf-call-iptables=0'")
    }

    private static func kernelRules() -> Finding {
        guard let occupation = try? KernelOccupation.look() else {
            return Finding(
                verdict: .note, subject: "kernel rules",
                explanation: "cannot be listed without CAP_NET_ADMIN")
        }
        return Finding(
            verdict: occupation.isEmpty ? .ok : .note, subject: "kernel rules",
            explanation: occupation.isEmpty
                ? "none, and no tracked connections"
                : "the kernel filters or tracks here; 'sluice run' needs --take-over")
    }

    private static func daemon() -> Finding {
        let runs = (try? ControlClient.connect(to: ControlProtocol.socketName)) != nil
        return Finding(
            verdict: .ok, subject: "daemon",
            explanation: runs ? "runs in this network namespace" : "none in this network namespace")
    }

    private static func tools() -> [Finding] {
        ["nft", "iptables-save", "iptables-restore", "conntrack"].map { name in
            if let tool = SystemTool(name) {
                return Finding(verdict: .ok, subject: name, explanation: tool.path)
            }
            return Finding(
                verdict: .note, subject: name,
                explanation: "not installed: needed to see or take over the kernel's own rules")
        }
    }
}
