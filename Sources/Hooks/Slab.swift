// Memory for what matches remember: allocated when rules are swapped, never while packets walk. The only
// file of this module with pointers: every index is checked before it is used, and elements are trivial,
// so that nothing has to be destroyed. Pages that no packet has touched cost nothing, which is why the
// elements are not initialised: a slot is written before it is read for the first time.

@safe
struct Slab<Element: BitwiseCopyable>: ~Copyable {
    // First, since under the thread sanitizer the compiler takes the first field for the address of what is
    // written, and stops where that is no pointer (swiftlang/swift#86265).
    private let elements: UnsafeMutablePointer<Element>
    let count: Int

    init(count: Int) {
        self.count = count
        unsafe elements = UnsafeMutablePointer<Element>.allocate(capacity: max(1, count))
    }

    /// Every slot written.
    init(count: Int, repeating element: Element) {
        self.init(count: count)
        unsafe elements.initialize(repeating: element, count: count)
    }

    deinit { unsafe elements.deallocate() }

    /// The first write to a slot.
    func begin(_ index: Int, with element: Element) {
        precondition(index >= 0 && index < count, "a slot lies within the slab")
        unsafe (elements + index).initialize(to: element)
    }

    subscript(index: Int) -> Element {
        unsafeAddress {
            precondition(index >= 0 && index < count, "a slot lies within the slab")
            return unsafe UnsafePointer(elements + index)
        }
        nonmutating unsafeMutableAddress {
            precondition(index >= 0 && index < count, "a slot lies within the slab")
            return unsafe elements + index
        }
    }
}
