// One client of a lab's server: read a head, perhaps a body, answer, close.

struct HTTPConnection {
    let socket: Socket
    private let peer: String
    private var phase = Phase.readingHead

    private enum Phase {
        case readingHead
        case readingBody(UploadCheck)
        /// A head to send, then so many bytes of ByteSequence from an offset.
        case answering(ArraySlice<UInt8>, offset: Int, end: Int)
        case done
    }
    private var head: [UInt8] = []

    init(socket: Socket, peer: String) {
        self.socket = socket
        self.peer = peer
    }

    var isAnswering: Bool { if case .answering = phase { true } else { false } }
    var isDone: Bool { if case .done = phase { true } else { false } }

    /// Reads or writes as much as can be done without waiting, within reason.
    mutating func advance(through buffer: inout [UInt8], _ answer: LabAnswer) {
        switch phase {
        case .answering: send()
        case .readingHead, .readingBody: receive(through: &buffer, answer)
        case .done: return
        }
    }

    private mutating func receive(through buffer: inout [UInt8], _ answer: LabAnswer) {
        switch socket.read(into: &buffer) {
        case .wouldBlock: return
        case .ended: phase = .done
        case .moved(let count): take(buffer[..<count], answer)
        }
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>, _ answer: LabAnswer) {
        switch phase {
        case .readingHead:
            head += bytes
            guard let end = headEnd() else {
                if head.count > 16_384 { phase = .done }
                return
            }
            let body = head[end...]
            head.removeLast(head.count - end)
            let request = Request(head)
            if request.method == "PUT" {
                count(body, in: UploadCheck(expected: request.contentLength))
            } else {
                reply(to: request, answer)
            }
        case .readingBody(let check): count(bytes, in: check)
        case .answering, .done: return
        }
    }

    private func headEnd() -> Int? {
        let blank = Array("\r\n\r\n".utf8)
        guard head.count >= blank.count else { return nil }
        let starts = 0...(head.count - blank.count)
        return starts.first { head[$0..<($0 + blank.count)].elementsEqual(blank) }.map {
            $0 + blank.count
        }
    }

    private mutating func count(_ bytes: ArraySlice<UInt8>, in check: UploadCheck) {
        var check = check
        check.take(bytes)
        phase = .readingBody(check)
        if check.isComplete { reply(200, check.verdict + "\n") }
    }

    private mutating func reply(to request: Request, _ answer: LabAnswer) {
        if request.path.hasPrefix("/bytes/"), let count = Int(request.path.dropFirst(7)), count >= 0
        {
            let head = "HTTP/1.0 200 OK\r\nContent-Length: \(count)\r\n\r\n"
            phase = .answering(Array(head.utf8)[...], offset: 0, end: count)
            send()
        } else if request.path == "/peer" {
            reply(200, peer + "\n")
        } else {
            reply(200, answer.text(path: request.path))
        }
    }

    private mutating func reply(_ status: Int, _ body: String) {
        let text = "HTTP/1.0 \(status) OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        phase = .answering(Array(text.utf8)[...], offset: 0, end: 0)
        send()
    }

    private mutating func send() {
        while case .answering(let head, let offset, let end) = phase {
            let next = head.isEmpty ? ByteSequence.slice(at: offset, count: end - offset) : head
            guard !next.isEmpty else {
                phase = .done
                return
            }
            switch socket.write(next) {
            case .wouldBlock: return
            case .ended: phase = .done
            case .moved(let count) where head.isEmpty:
                phase = .answering([], offset: offset + count, end: end)
            case .moved(let count):
                phase = .answering(head.dropFirst(count), offset: offset, end: end)
            }
        }
    }
}

private struct Request {
    var method = ""
    var path = ""
    var contentLength = 0

    init(_ head: [UInt8]) {
        let lines = String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline)
        let words = (lines.first ?? "").split(separator: " ")
        guard words.count >= 2 else { return }
        method = String(words[0])
        path = String(words[1].prefix { $0 != "?" })
        for line in lines.dropFirst() where line.lowercased().hasPrefix("content-length:") {
            contentLength = Int(line.dropFirst("content-length:".count).filter(\.isNumber)) ?? 0
        }
    }
}

/// Compares an upload with ByteSequence as it comes.
private struct UploadCheck {
    private let expected: Int
    private var received = 0
    private var firstDifference: Int?

    init(expected: Int) { self.expected = expected }

    var isComplete: Bool { received >= expected }

    var verdict: String {
        "\(received) bytes, "
            + (firstDifference.map { "first difference at \($0)" } ?? "as expected")
    }

    mutating func take(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while !rest.isEmpty {
            let reference = ByteSequence.slice(at: received, count: rest.count)
            if firstDifference == nil, !ByteSequence.isEqual(reference, rest) {
                let pairs = zip(reference, rest).enumerated()
                let index = pairs.first { $0.element.0 != $0.element.1 }?.offset ?? 0
                firstDifference = received + index
            }
            received += reference.count
            rest = rest.dropFirst(reference.count)
        }
    }
}
