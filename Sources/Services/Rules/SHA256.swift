// SHA-256 (FIPS 180-4), by libmd.

import CMessageDigest

enum SHA256 {
    /// The 32 bytes of the digest.
    static func digest(of text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        var context = SHA2_CTX()
        unsafe SHA256Init(&context)
        unsafe SHA256Update(&context, bytes, bytes.count)
        // `digest` has the 32 bytes that are written.
        unsafe SHA256Final(&digest, &context)
        return digest
    }
}
