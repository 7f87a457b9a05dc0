// `sluice lab …`: labs from the command line. Exit status 2 where Sluice itself refuses; `exec` has
// the status of the command it becomes.

import ArgumentParser
import BenchmarkLab
import Control
import Glibc
import Lab

struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab",
        abstract: "Bring up small networks of namespaces to try things in.",
        subcommands: [
            LabUp.self, LabDown.self, LabList.self, LabStatus.self, LabExec.self, LabLog.self,
            LabKeeper.self, LabServe.self, LabAttempts.self, LabForward.self,
        ])
}

private let knownLabs = Topology.all.map(\.name).joined(separator: ", ")

private func complain(_ error: LabError) -> Refusal { Refusal(error.description) }

struct LabUp: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Bring a lab up, with Sluice or the kernel as its node's NAT.")

    @Argument(help: "The lab: \(knownLabs).") var topology: String
    @Option(help: "A name of your own, where the same lab is to be up twice.") var name: String?
    @Flag(help: "Leave NAT to the node's kernel.") var kernel = false

    func run() throws {
        do throws(LabError) {
            try Lab(name: name ?? topology).up(topology: topology, usesKernel: kernel)
            print("lab \(name ?? topology) is up: \(try Topology.named(topology).summary)")
        } catch {
            throw complain(error)
        }
    }
}

struct LabDown: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "End a lab and everything that runs in it, crashed or not.")

    @Argument(help: "The lab's name, as `sluice lab list` shows it.") var name: String

    func run() throws {
        do throws(LabError) {
            let wasUp = try Lab(name: name).down()
            print("lab \(name) \(wasUp ? "is down" : "was not up")")
        } catch {
            throw complain(error)
        }
    }
}

struct LabList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the labs that are up, and those that can be.")

    func run() {
        for state in Lab.list() { print(line(state)) }
        let up = Set(Lab.list().map(\.topology))
        for topology in Topology.all where !up.contains(topology.name) {
            print("\(topology.name)  down  \(topology.summary)")
        }
    }

    private func line(_ state: LabState) -> String {
        let path = state.usesKernel ? "kernel" : "sluice"
        return "\(state.name)  \(state.condition.rawValue)  \(path)  \(state.topology)"
    }
}

struct LabStatus: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show a lab's namespaces and processes; status 1 unless it is up and whole.")

    @Argument(help: "The lab's name, as `sluice lab list` shows it.") var name: String

    func run() throws {
        let state: LabState
        do throws(LabError) {
            state = try Lab(name: name).state()
        } catch {
            print(error.description)
            throw ExitCode(1)
        }
        print("lab        \(state.topology)")
        print("condition  \(state.condition.rawValue)")
        print("path       \(state.usesKernel ? "kernel" : "sluice")")
        if let keeper = state.keeper { print("keeper     \(keeper.pid)") }
        for (node, daemon) in state.daemons.sorted(by: { $0.key < $1.key }) {
            print("daemon     \(daemon.pid) in \(node)")
        }
        if let topology = try? Topology.named(state.topology) {
            print("namespaces \(topology.namespaces.joined(separator: " "))")
        }
        print("log        \(LabState.logFile(name))")
        for (node, _) in state.daemons.sorted(by: { $0.key < $1.key }) {
            print("LOG rules  \(LabState.packetLog(name, node: node))")
        }
        if state.condition != .up { throw ExitCode(1) }
    }
}

struct LabExec: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a command in one of a lab's namespaces; a shell where none is given.")

    @Argument(help: "The lab's name, as `sluice lab list` shows it.") var name: String
    @Argument(help: "A namespace of the lab: node, client, …") var namespace: String
    @Argument(parsing: .postTerminator, help: "The command, after --.") var command: [String] = []

    func run() throws {
        let words = command.isEmpty ? ["bash"] : command
        throw complain(Lab(name: name).replaceProcess(in: namespace, command: words))
    }
}

struct LabLog: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Show what the LOG rules of a lab's node have said.",
        discussion: """
            In a lab with --kernel that is the kernel's log, which has nothing of namespaces unless \
            net.netfilter.nf_log_all_netns is 1 on the machine.
            """)

    @Argument(help: "The lab's name, as `sluice lab list` shows it.") var name: String
    @Argument(help: "The node.") var node: String = "node"
    @Flag(name: .shortAndLong, help: "Go on with what comes.") var follow = false

    func run() throws {
        if follow { throw complain(Lab(name: name).followLog(of: node)) }
        do throws(LabError) {
            print(try Lab(name: name).log(of: node), terminator: "")
        } catch {
            throw complain(error)
        }
    }
}

/// The process that holds a lab; `lab up` starts it.
struct LabKeeper: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "keeper", shouldDisplay: false)

    @Argument var topology: String
    @Option var name: String
    @Flag(inversion: .prefixedNo) var kernel = false

    func run() throws {
        let keeper: Keeper
        do throws(LabError) {
            keeper = try Keeper(topology: topology, lab: name, usesKernel: kernel)
        } catch {
            throw complain(error)
        }
        throw ExitCode(keeper.run())
    }
}

/// A lab's small HTTP and UDP echo server.
struct LabServe: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "server", shouldDisplay: false)

    @Argument(help: "What it answers.") var word: String
    @Flag(help: "Say which path was asked for, too.") var showPath = false
    @Option(help: "The address to listen on.") var address = "0.0.0.0"
    @Option var port: UInt16 = 80
    @Option var datagramPort: UInt16 = 7
    @Option(help: "Write so many bytes of /bytes/N to standard output instead of serving.")
    var bytes: Int?

    func run() throws {
        if let bytes {
            throw ByteSequence.write(count: bytes, to: STDOUT_FILENO) ? ExitCode(0) : ExitCode(1)
        }
        do throws(LabError) {
            var server = try LabServer(
                LabAnswer(word: word, showsPath: showPath), address: address, port: port,
                datagramPort: datagramPort)
            server.run()
        } catch {
            throw complain(error)
        }
    }
}

/// Many half-open connections from a lab's client.
struct LabAttempts: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "attempts", shouldDisplay: false)

    @Argument var address: String
    @Argument var firstPort: UInt16
    @Argument var count: Int

    func run() throws {
        do throws(LabError) {
            print(try ConnectionAttempts.make(count: count, to: address, firstPort: firstPort))
        } catch {
            throw complain(error)
        }
    }
}

/// A forwarder that thinks of nothing, for `sluice bench`.
struct LabForward: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "forward", shouldDisplay: false)

    @Argument(help: "packet or xdp.") var mode: String
    @Argument(help: "Two of INTERFACE=NEIGHBOUR.") var ports: [String]

    func run() throws { throw complain(BareForwarder.run(mode: mode, ports: ports)) }
}
