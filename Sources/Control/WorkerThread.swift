// A POSIX thread: the control path has one, the packet path one more. Swift's own executors are not
// used, because a thread of the packet path is pinned and never shared.

import Glibc

public struct WorkerThread: Sendable {
    private var thread: pthread_t = 0

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Starts a thread that owns what `body` captured.
    public init(_ body: sending @escaping () -> Void) throws(SystemError) {
        let box = unsafe Unmanaged.passRetained(Body(body))
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        guard error == 0 else {
            unsafe box.release()
            throw SystemError("start a thread", number: error)
        }
    }

    /// Interrupts the system call that it is in, where it accepts interruptions.
    public func interrupt() { pthread_kill(thread, SIGUSR1) }

    /// Waits for its end; to be called once.
    public func join() { pthread_join(thread, nil) }
}
