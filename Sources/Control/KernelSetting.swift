// Settings under /proc/sys: read, changed, and put back. Every change is written down first.

import Glibc

public enum KernelSetting {
    public static func read(_ path: String) -> String? {
        guard let bytes = try? TextFile.read(path) else { return nil }
        var text = String(decoding: bytes, as: UTF8.self)
        while text.last?.isNewline == true { text.removeLast() }
        return text
    }

    public static func write(_ value: String, to path: String) throws(SystemError) {
        let descriptor = try SystemCalls.open(path, O_WRONLY, to: "change the setting")
        guard Descriptor.writeAll(Array("\(value)\n".utf8), to: descriptor.number) else {
            throw .current("change the setting", path)
        }
    }
}
