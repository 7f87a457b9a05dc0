// Build tool: runs a compiler that writes an object file and turns that file into Swift source which
// holds its bytes. One command, because SwiftPM would bundle a declared object file as a resource.
// Usage: embedobject NAME OBJECT SOURCE COMPILER ARGUMENT...

import Foundation

func fail(_ message: String, status: Int32) -> Never {
    FileHandle.standardError.write(Data("embedobject: \(message)\n".utf8))
    exit(status)
}

let arguments = CommandLine.arguments
guard arguments.count > 4 else {
    fail("usage: embedobject NAME OBJECT SOURCE COMPILER ARGUMENT...", status: 2)
}
let compiler = Process()
compiler.executableURL = URL(fileURLWithPath: arguments[4])
compiler.arguments = Array(arguments.dropFirst(5))
do {
    try compiler.run()
    compiler.waitUntilExit()
    guard compiler.terminationStatus == 0 else {
        fail("\(arguments[4]) failed for \(arguments[1])", status: compiler.terminationStatus)
    }
    let object = try Data(contentsOf: URL(fileURLWithPath: arguments[2]))
    let digits = object.map { byte in
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
    let source = """
        // Generated from bpf/\(arguments[1]).bpf.c.

        extension BPFObject {
            public static let `\(arguments[1])` = BPFObject(
                name: "\(arguments[1])",
                text: "\(digits)")
        }

        """
    try Data(source.utf8).write(to: URL(fileURLWithPath: arguments[3]))
} catch {
    fail("\(arguments[1]): \(error)", status: 1)
}
