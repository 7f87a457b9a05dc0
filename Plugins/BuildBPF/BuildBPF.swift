// Compiles every *.bpf.c of a target with the toolchain's own clang; `embedobject` turns each object into
// Swift source that is compiled into the target. So `swift build` alone builds the programs, and the
// binary carries them.

import Foundation
import PackagePlugin

@main
struct BuildBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let clang = try context.tool(named: "clang").url
        let embed = try context.tool(named: "embedobject").url
        let directory = target.directoryURL
        let shared = context.package.directoryURL.appending(path: "Sources/CFlowABI/include")
        let files = try FileManager.default.contentsOfDirectory(
            at: directory, includingPropertiesForKeys: nil)
        let headers =
            files.filter { $0.pathExtension == "h" } + [shared.appending(path: "CFlowABI.h")]
        let programs = files.filter { $0.lastPathComponent.hasSuffix(".bpf.c") }
            .sorted { $0.path < $1.path }
        return programs.flatMap { program -> [Command] in
            let name = String(program.lastPathComponent.dropLast(".bpf.c".count))
            let object = context.pluginWorkDirectoryURL.appending(path: "\(name).bpf.o")
            let source = context.pluginWorkDirectoryURL.appending(path: "\(name).swift")
            let flags: [String] = [
                "-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Werror",
            ]
            let search: [String] = ["-I", shared.path, "-idirafter", Self.architectureHeaders]
            let files: [String] = ["-c", program.path, "-o", object.path]
            return [
                .buildCommand(
                    displayName: "Compiling bpf/\(name).bpf.c", executable: embed,
                    arguments: [name, object.path, source.path, clang.path] + flags + search
                        + files,
                    inputFiles: [program] + headers, outputFiles: [source])
            ]
        }
    }

    /// Where Debian keeps <asm/types.h>, which clang does not look for when it compiles for bpf.
    private static var architectureHeaders: String {
        #if arch(arm64)
            "/usr/include/aarch64-linux-gnu"
        #else
            "/usr/include/x86_64-linux-gnu"
        #endif
    }
}
