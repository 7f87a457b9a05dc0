/// Why the kernel could not be asked. What it does with a packet is never an error.
public struct KernelPathError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was being done, and what the kernel or its tool said.
    public var description: String

    public init(_ description: String) { self.description = description }
}
