// A BPF array that programs and this process see at once.

import Glibc
import Lab

@safe final class SharedArray<Element: BitwiseCopyable> {
    private let elements: UnsafeMutablePointer<Element>
    private let count: Int
    private let length: Int

    init(map descriptor: Int32, count: Int) throws(LabError) {
        let stride = MemoryLayout<Element>.stride
        precondition(stride % 8 == 0, "the kernel rounds elements up to eight bytes")
        let page = sysconf(Int32(_SC_PAGESIZE))
        self.count = count
        length = (count * stride + page - 1) / page * page
        let memory = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
            throw LabError("cannot map a BPF array: \(unsafe String(cString: strerror(errno)))")
        }
        unsafe elements = memory.bindMemory(to: Element.self, capacity: count)
    }

    deinit { unsafe munmap(elements, length) }

    subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < count, "an index lies within its array")
            return unsafe elements[index]
        }
        set {
            precondition(index >= 0 && index < count, "an index lies within its array")
            unsafe elements[index] = newValue
        }
    }
}
