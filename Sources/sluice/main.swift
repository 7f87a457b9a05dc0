// Where the binary begins: which command it is, by its own name or by its first word.
//
// `iptables …`, `conntrack …` and `ipvsadm …` are spelled as the originals spell them, so they never meet the
// argument parser; everything else is a command of Sluice's own. Exit status 2 stands for bad input
// to Sluice's own commands; the others keep their own statuses.

import ArgumentParser
import Control
import Glibc

let invocation = Invocation(CommandLine.arguments)
switch invocation {
case .passthrough(let command, let arguments):
    exit(Int32(PassthroughCommand(command: command, arguments: arguments).run()))
case .own(let arguments):
    exit(Sluice.main(arguments: arguments))
}
