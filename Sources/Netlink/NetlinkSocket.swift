// One netlink socket: requests with their answers, or multicast messages. It belongs to the
// network namespace of the thread that opened it, for good.

import CLinux
import Glibc

/// A request socket. Not shared between threads.
package final class NetlinkSocket {
    /// Whom in the kernel it speaks to.
    package enum Family: Int32, Sendable {
        case routing = 0
        case netfilter = 12
        case generic = 16
    }

    package let descriptor: Int32
    private var sequence: UInt32 = 0
    /// Room for a message that carries the largest packet.
    private var buffer = ContiguousArray<UInt8>(repeating: 0, count: 1 << 17)

    /// - Parameter groups: the family's multicast groups to listen to; with any, the socket is for
    ///   listening only.
    package init(
        _ family: Family = .routing, groups: [Int] = [], receiveBuffer: Int32 = 1 << 20
    ) throws(NetlinkError) {
        descriptor = sluice_netlink_open(family.rawValue, receiveBuffer)
        guard descriptor >= 0 else {
            throw NetlinkError(operation: "open a \(family) netlink socket", code: -descriptor)
        }
        for group in groups {
            let status = sluice_netlink_join(descriptor, Int32(group))
            if status < 0 {
                throw NetlinkError(operation: "listen to netlink group \(group)", code: -status)
            }
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// The next datagram's messages; `nil` where none waits.
    package func receive(
        waitMilliseconds: Int32 = 0, operation: String = "read the kernel's routing messages"
    ) throws(NetlinkError) -> [NetlinkMessage]? {
        while true {
            let length = unsafe buffer.withUnsafeMutableBytes {
                unsafe sluice_netlink_receive(
                    descriptor, $0.baseAddress, $0.count, waitMilliseconds)
            }
            if length >= 0 {
                return NetlinkMessage.all(
                    in: NetlinkBytes(ContiguousArray(buffer.prefix(Int(length)))))
            }
            if length == -Int(EAGAIN) { return nil }
            throw NetlinkError(operation: operation, code: Int32(-length))
        }
    }

    /// Sends a request and waits for the kernel's acknowledgement.
    package func perform(_ request: NetlinkRequest, _ operation: String) throws(NetlinkError) {
        _ = try exchange(request, flags: Int(NLM_F_ACK), operation)
    }

    /// Sends a request that is answered by one message.
    func ask(_ request: NetlinkRequest, _ operation: String) throws(NetlinkError)
        -> NetlinkMessage?
    {
        try exchange(request, flags: Int(NLM_F_ACK), operation).first
    }

    /// Everything of one kind. A dump that changed while it was read is read again.
    package func dump(_ request: NetlinkRequest, _ operation: String) throws(NetlinkError)
        -> [NetlinkMessage]
    {
        for _ in 0..<10 {
            let messages = try exchange(request, flags: Int(NLM_F_DUMP), operation)
            if !messages.contains(where: { $0.flags & Int(NLM_F_DUMP_INTR) != 0 }) {
                return messages
            }
        }
        throw NetlinkError(
            operation: operation, code: 0, detail: "it kept changing while it was read")
    }

    private func exchange(
        _ request: NetlinkRequest, flags: Int, _ operation: String
    ) throws(NetlinkError) -> [NetlinkMessage] {
        sequence &+= 1
        let expected = sequence
        let message = NetlinkRequest(
            type: request.type, flags: request.flags | flags | Int(NLM_F_REQUEST),
            header: request.payload
        ).encoded(sequence: expected)
        let status = unsafe message.withUnsafeBytes {
            unsafe sluice_netlink_send(descriptor, $0.baseAddress, $0.count)
        }
        if status < 0 { throw NetlinkError(operation: operation, code: -status) }
        var answers: [NetlinkMessage] = []
        while true {
            guard let batch = try receive(waitMilliseconds: 5000, operation: operation) else {
                throw NetlinkError(
                    operation: operation, code: 0, detail: "the kernel did not answer within 5 s")
            }
            // Left-overs of a request that was given up carry another number.
            for answer in batch where answer.sequence == expected {
                if try isEnd(answer, operation) { return answers }
                answers.append(answer)
            }
        }
    }

    /// Whether the message ends the answer; throws what it refuses.
    private func isEnd(_ message: NetlinkMessage, _ operation: String) throws(NetlinkError)
        -> Bool
    {
        guard message.type == Int(NLMSG_ERROR) || message.type == Int(NLMSG_DONE) else {
            return false
        }
        let code = Int32(bitPattern: message.body.u32(0))
        if code == 0 || message.body.count < 4 { return true }
        throw NetlinkError(
            operation: operation, code: -code, detail: Self.explanation(in: message))
    }

    /// The extended acknowledgement: after the code and, with NETLINK_CAP_ACK, the request's header.
    private static func explanation(in message: NetlinkMessage) -> String? {
        guard message.flags & Int(NLM_F_ACK_TLVS) != 0 else { return nil }
        let offset = message.type == Int(NLMSG_ERROR) ? 20 : 4
        return NetlinkAttributes(message.body.rest(from: offset))[NLMSGERR_ATTR_MSG.rawValue]?
            .text()
    }
}
