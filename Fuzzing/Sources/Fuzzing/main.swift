// libFuzzer over everything of Sluice that reads bytes or text from others. One executable; the first
// word says what is fuzzed:
//
//     Fuzzing list                       the targets' names
//     Fuzzing prepare TARGET DIRECTORY CORPUS   seeds and kept inputs as files, DIRECTORY.dict
//     Fuzzing pack DIRECTORY CORPUS   keeps the smallest inputs of a directory in one file
//     Fuzzing TARGET …                   libFuzzer's own options and corpora follow
//
// A target traps on a broken promise; libFuzzer turns that, a crash, a hang and a leak into a finding.

import Foundation

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

nonisolated(unsafe) private var chosen: FuzzTarget?

private func fail(_ sentence: String) -> Never {
    FileHandle.standardError.write(Data("Fuzzing: \(sentence)\n".utf8))
    exit(2)
}

private func target(_ name: String) -> FuzzTarget {
    guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
        fail("there is no target \(name); there are \(FuzzTarget.all.map(\.name))")
    }
    return target
}

private let words = Array(CommandLine.arguments.dropFirst())
switch words.first {
case nil: fail("usage: Fuzzinging list | prepare TARGET DIRECTORY | TARGET [libFuzzer's options]")
case "list": for target in FuzzTarget.all { print(target.name) }
case "prepare" where words.count == 4: try target(words[1]).prepare(words[2], corpus: words[3])
case "pack" where words.count == 3:
    try FuzzTarget.pack(words[1], into: words[2], limit: 4096)
default:
    chosen = target(words[0])
    // The target's name is not libFuzzer's to read.
    CommandLine.unsafeArgv[1] = CommandLine.unsafeArgv[0]
    var arguments = CommandLine.unsafeArgv + 1
    var count = CommandLine.argc - 1
    exit(
        runDriver(&count, &arguments) { start, count in
            chosen?.run(Array(UnsafeBufferPointer(start: start, count: count)))
            return 0
        })
}
