import Dataplane
import Foundation
import Glibc
import NamespaceFixture
import Synchronization
import Testing
import Wire

@testable import PacketIO

/// Whether one ping from the left end is answered within `seconds`.
/// Generous, since an answer that comes costs no waiting.
func answers(_ wire: Wire2, seconds: String = "5") -> Bool {
    (try? wire.left.run("ping", "-c", "1", "-W", seconds, "10.9.0.2")) != nil
}

func isSilent(_ wire: Wire2) -> Bool { !answers(wire, seconds: "0.3") }

/// Pings until one is answered; how long that took, or nil after `limit` seconds.
func timeUntilAnswered(_ wire: Wire2, limit: TimeInterval) -> TimeInterval? {
    let start = Date()
    while Date().timeIntervalSince(start) < limit {
        if answers(wire, seconds: "0.1") { return Date().timeIntervalSince(start) }
    }
    return nil
}

/// Beats every 50 ms from a thread of its own, however long a test's commands take.
final class Beating: Sendable {
    private let running = Mutex(true)

    init(_ heartbeat: Heartbeat) {
        heartbeat.beat(at: MonotonicClock.now())
        let thread = Thread { [weak self] in
            while self?.running.withLock({ isRunning in
                if isRunning { heartbeat.beat(at: MonotonicClock.now()) }
                return isRunning
            }) == true {
                usleep(50_000)
            }
        }
        thread.start()
    }

    func stop() { running.withLock { $0 = false } }
    deinit { stop() }
}

@Suite("The claim", .enabled(if: isRoot, needsRoot))
struct ClaimTests {
    @Test(
        "a claimed interface keeps the kernel silent while ARP still works; detaching gives it back"
    )
    func claimAndDetach() throws {
        let wire = try Wire2()
        #expect(answers(wire))
        try wire.left.run("ip", "neigh", "flush", "all")
        try wire.right.inside {
            let programs = try NodePrograms()
            let beating = Beating(programs.heartbeat)
            defer { beating.stop() }
            let port = try PacketPort(interface: "b0", filter: programs.tapFilter)
            let claim = try programs.claim(port)
            #expect(isSilent(wire))
            // A SYN to a closed port: the kernel would send a reset at once.
            let connected = Result {
                try wire.left.run(
                    "socat", "-u", "FILE:/dev/null", "TCP:10.9.0.2:9,connect-timeout=0.5")
            }
            guard case .failure(let failure as CommandFailure) = connected else {
                Issue.record("the connection to a closed port did not fail")
                return
            }
            #expect(failure.output.contains("timed out"), "refused: \(failure.output)")
            let neighbours = try wire.left.run("ip", "neigh", "show", "10.9.0.2")
            #expect(neighbours.contains("lladdr"), "ARP was answered by the kernel: \(neighbours)")

            let seen = collect(port)
            #expect(seen.count >= 2)
            #expect(seen.allSatisfy { $0.bytes[12...13] == [8, 0] }, "nothing but IPv4 is taken")
            #expect(claim.statistics.claimed == port.statistics.receivedFrames)

            claim.detach()
            #expect(answers(wire))
        }
    }

    @Test("a stale heartbeat passes everything to the kernel, and the tap takes nothing")
    func staleHeartbeat() throws {
        let wire = try Wire2()
        try wire.right.inside {
            let programs = try NodePrograms()
            let port = try PacketPort(interface: "b0", filter: programs.tapFilter)
            let claim = try programs.claim(port)
            #expect(answers(wire), "before the first beat")
            let beating = Beating(programs.heartbeat)
            #expect(isSilent(wire))
            beating.stop()
            programs.heartbeat.stop()
            #expect(answers(wire))
            #expect(claim.statistics.stale >= 2)
            #expect(claim.statistics.claimed == UInt64(collect(port).count))
        }
    }

    @Test("kill -9 of the owner gives the interface back at once")
    func killed() throws {
        let wire = try Wire2()
        let probe = try BackgroundProcess(in: wire.right, portprobe, "claim", "b0")
        #expect(isSilent(wire))
        probe.send(SIGKILL)
        probe.wait()
        #expect(answers(wire))
        #expect(try wire.right.run("ip", "-d", "link", "show", "b0").contains("UP"))
    }

    @Test("a stopped owner keeps the interface for a second at most, and has it again afterwards")
    func stopped() throws {
        let wire = try Wire2()
        let probe = try BackgroundProcess(in: wire.right, portprobe, "claim", "b0")
        #expect(isSilent(wire))
        probe.send(SIGSTOP)
        let time = try #require(timeUntilAnswered(wire, limit: 3))
        #expect(time < 2)
        probe.send(SIGCONT)
        // The worker beats as soon as it runs; the next echo request may still have been before that.
        let deadline = Date().addingTimeInterval(10)
        var silent = isSilent(wire)
        while !silent, Date() < deadline { silent = isSilent(wire) }
        #expect(silent)
    }

    @Test("frames with Sluice's mark on a loopback interface reach the kernel, all others the port")
    func loopback() throws {
        let namespace = try Namespace("lo")
        // The kernel trusts its own loopback packets by the route they carry. One that comes out of a
        // packet socket has lost it and is judged like any other.
        try namespace.run(
            "sysctl", "-qw", "net.ipv4.conf.lo.accept_local=1", "net.ipv4.conf.lo.route_localnet=1")
        try namespace.inside {
            let programs = try NodePrograms()
            let beating = Beating(programs.heartbeat)
            defer { beating.stop() }
            let port = try PacketPort(interface: "lo", filter: programs.tapFilter)
            let claim = try programs.claim(port)
            let ping = try BackgroundProcess(
                in: namespace, "ping", "-c", "1", "-W", "2", "127.0.0.1", awaitLine: false)
            // Request and reply cross the interface once each; both go back unchanged.
            for type in [UInt8(8), 0] {
                let frame = try #require(
                    first(port) { $0.bytes.count > 34 && $0.bytes[34] == type })
                send(frame.bytes, on: port, offload: frame.metadata.offload)
            }
            #expect(ping.wait().contains(" 0% packet loss"))
            #expect(claim.statistics.own == 2)
            #expect(claim.statistics.claimed == 2)
        }
    }
}
