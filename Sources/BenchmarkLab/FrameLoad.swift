// Frames that cost next to nothing to make, and a receiver that counts them: bpf/load.bpf.c, with its settings,
// counters and delays in memory that both sides map.

import BPFPrograms
import CBPF
import CFlowABI
import CLinux
import Control
import Glibc
import Lab
import PacketIO
import Synchronization
import Wire

/// The programs at both ends of one stream. Gone with the object.
@safe final class FrameLoad {
    private let stream: FrameStream
    private let module: BPFModule
    private let load: SharedArray<sluice_load>
    private let receipt: SharedArray<sluice_receipt>
    private let delays: SharedArray<UInt64>
    private var links: [Int32] = []

    /// What arrived until some moment.
    struct Count {
        var seconds: Double
        var sent: UInt64
        /// From the first of these to the last.
        var sendingSeconds: Double
        var received: UInt64
        /// Of these, with the addresses that they should have.
        var expected: UInt64
    }

    init(_ stream: FrameStream, in network: BenchmarkNetwork) throws(LabError) {
        self.stream = stream
        do throws(BPFError) { module = try BPFModule(.load) } catch { throw LabError("\(error)") }
        load = try SharedArray(map: module.map("load"), count: 1)
        receipt = try SharedArray(map: module.map("receipt"), count: 1)
        delays = try SharedArray(map: module.map("delays"), count: Int(SLUICE_LOAD_DELAYS))
        try attach("sluice_receive", stream.receiver, network)
        try attach("sluice_discard", stream.interface, network)
    }

    deinit { for link in links { close(link) } }

    private func attach(
        _ program: String, _ interface: String, _ network: BenchmarkNetwork
    ) throws(LabError) {
        let index = try network.index(of: interface)
        try network.within(interface) { () throws(BPFError) in
            links.append(try module.attach(program, to: index, .ingress))
        }
    }

    /// From here on the receiver ends frames before they become socket buffers.
    func receiveEarly(in network: BenchmarkNetwork) throws(LabError) {
        let index = try network.index(of: stream.receiver)
        try network.within(stream.receiver) { () throws(BPFError) in
            links.append(
                try module.attachXDP("sluice_receive_early", to: index, generic: false))
        }
    }

    var count: Count {
        let sender = load[0]
        let receiver = receipt[0]
        return Count(
            seconds: secondsNow(), sent: sender.sent,
            sendingSeconds: Double(max(1, sender.last_ns &- sender.first_ns)) / 1e9,
            received: receiver.frames, expected: receiver.expected)
    }

    /// How long the last frames took from one program to the other, in nanoseconds, sorted.
    var sortedDelays: [UInt64] {
        let frames = min(receipt[0].frames, UInt64(SLUICE_LOAD_DELAYS))
        return (0..<Int(frames)).map { delays[$0] }.sorted()
    }

    /// Sends for as long as `body` takes.
    /// - Parameters:
    ///   - rate: frames a second; as many as can be where it is `nil`.
    ///   - limit: no more than so many.
    ///   - answered: the server answers the first ones.
    func sending<R>(
        rate: Double? = nil, limit: UInt64 = .max, answered: UInt64 = 0,
        _ body: () throws(LabError) -> R
    ) throws(LabError) -> R {
        var settings = sluice_load()
        unsafe withUnsafeMutableBytes(of: &settings.headers) {
            unsafe $0.copyBytes(from: stream.headers)
        }
        settings.port = FrameStream.firstPort
        settings.flows = stream.flows
        settings.interval = rate.map { UInt64(1024e9 / $0) } ?? 0
        settings.count = limit
        settings.answered = answered
        settings.expected_source = stream.arrivesFrom.rawValue.bigEndian
        settings.expected_destination = stream.arrivesAt.rawValue.bigEndian
        load[0] = settings
        receipt[0] = sluice_receipt()
        let generator = try Generator(
            program: module.program("sluice_generate"), stream, isPaced: rate != nil)
        defer { generator.stop() }
        let result = try body()
        if let failure = generator.failure { throw failure }
        // A frame may be between its two counters.
        let count = count
        guard count.received <= count.expected + UInt64(Placement.processors) else {
            throw LabError(
                "\(count.received - count.expected) of \(count.received) frames arrived with addresses "
                    + "that they should not have")
        }
        return result
    }
}

/// Runs the program that makes frames, on a thread of its own.
private struct Generator {
    private let thread: WorkerThread
    private let outcome = Outcome()

    private final class Outcome: Sendable {
        let state = Mutex<(hasEnded: Bool, failure: LabError?)>((false, nil))
    }

    init(program: Int32, _ stream: FrameStream, isPaced: Bool) throws(LabError) {
        let outcome = outcome
        sluice_accept_interruptions()
        do throws(Control.SystemError) {
            thread = try WorkerThread {
                var failure: LabError?
                do throws(LabError) {
                    try HeldLab.moveThread(to: BenchmarkNetwork.place(of: stream.interface))
                    try InterfaceCalls.run(on: Placement.load)
                    try Self.run(program, stream, isPaced: isPaced)
                } catch {
                    failure = error
                }
                outcome.state.withLock { $0 = (true, failure) }
            }
        } catch {
            throw LabError("\(error)")
        }
    }

    var failure: LabError? { outcome.state.withLock { $0.failure } }

    /// The program runs until a signal comes; one that comes too early is repeated.
    func stop() {
        while !outcome.state.withLock({ $0.hasEnded }) {
            thread.interrupt()
            usleep(1000)
        }
        thread.join()
    }

    private static func run(
        _ program: Int32, _ stream: FrameStream, isPaced: Bool
    ) throws(LabError) {
        var frame = [UInt8](repeating: 0, count: stream.length)
        var context = xdp_md()
        context.data_end = UInt32(frame.count)
        context.ingress_ifindex = try InterfaceCalls.index(stream.interface)
        var options = unsafe bpf_test_run_opts()
        unsafe options.sz = optionsSize(through: \bpf_test_run_opts.batch_size)
        unsafe options.repeat = Int32.max
        unsafe options.flags = UInt32(BPF_F_TEST_XDP_LIVE_FRAMES)
        // A paced frame waits for the end of its batch.
        unsafe options.batch_size = isPaced ? 16 : 64
        let status = unsafe frame.withUnsafeMutableBytes { frame in
            unsafe withUnsafeMutableBytes(of: &context) { context in
                unsafe options.data_in = UnsafeRawPointer(frame.baseAddress)
                unsafe options.data_size_in = UInt32(frame.count)
                unsafe options.ctx_in = UnsafeRawPointer(context.baseAddress)
                unsafe options.ctx_size_in = UInt32(context.count)
                return unsafe bpf_prog_test_run_opts(program, &options)
            }
        }
        guard status == 0 || status == -EINTR else {
            throw LabError("cannot make frames: \(unsafe String(cString: strerror(-status)))")
        }
    }
}
