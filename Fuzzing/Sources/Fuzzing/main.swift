// libFuzzer over everything of Sluice that reads bytes or text from others, in one executable:
//
//     Fuzzing list                           the targets' names
//     Fuzzing prepare TARGET DIRECTORY       the target's seeds as files, and DIRECTORY.dict
//     Fuzzing unpack FILE DIRECTORY          kept inputs as files
//     Fuzzing pack DIRECTORY FILE            the smallest inputs of a directory in one file
//     FUZZING_TARGET=TARGET Fuzzing …        libFuzzer's own options and corpora
//
// The target is no word: libFuzzer starts the executable again with its own words alone to merge corpora.
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
if let name = ProcessInfo.processInfo.environment["FUZZING_TARGET"] {
    chosen = target(name)
    var arguments = CommandLine.unsafeArgv
    var count = CommandLine.argc
    exit(
        runDriver(&count, &arguments) { start, count in
            chosen?.run(Array(UnsafeBufferPointer(start: start, count: count)))
            return 0
        })
}
switch words.first {
case "list" where words.count == 1: for target in FuzzTarget.all { print(target.name) }
case "prepare" where words.count == 3: try target(words[1]).prepare(words[2])
case "unpack" where words.count == 3: try KeptCorpus.unpack(words[1], into: words[2])
case "pack" where words.count == 3: try KeptCorpus.pack(words[1], into: words[2])
default:
    fail(
        "usage: Fuzzing list | prepare TARGET DIRECTORY | unpack FILE DIRECTORY | pack DIRECTORY FILE"
    )
}
