//! TLS cipher suites by number: their IANA names tell key exchange, strength and secrecy.

/// What a suite's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cipher {
    pub(crate) id: u16,
    pub(crate) name: &'static str,
}

impl Cipher {
    /// The suite of this number, if it is in the table.
    pub(crate) fn by_number(id: u16) -> Option<Cipher> {
        CIPHERS.iter().find(|(known, _)| *known == id).map(|(id, name)| Cipher { id: *id, name })
    }

    /// The strength of its encryption as SSL Labs' guide counts it.
    pub(crate) fn bits(self) -> u32 {
        // The names of IANA's registry hold all of it: RFC 5246, C, makes them of exchange, cipher and digest.
        let name = self.name;
        match () {
            () if name.contains("_NULL") => 0,
            () if name.contains("EXPORT") || name.contains("_40_") || name.contains("DES40") => 40,
            // Three keys of 56 bits are worth 112: a meeting in the middle costs two of them (NIST SP 800-57, part 1).
            () if name.contains("3DES") => 112,
            () if name.contains("WITH_DES_") => 56,
            () if name.contains("_256") && !name.contains("_128_") || name.contains("CHACHA20") => 256,
            () => 128,
        }
    }

    /// A fresh secret for every session.
    pub(crate) fn is_forward_secret(self) -> bool {
        // TLS 1.3 (RFC 8446, appendix B.4) has no suite without it, and its names do not tell.
        self.name.contains("_DHE_") || self.name.contains("_ECDHE_") || self.id >> 8 == 0x13
    }

    /// No certificate is shown.
    pub(crate) fn is_anonymous(self) -> bool {
        self.name.contains("_anon_") || self.name.starts_with("TLS_NULL")
    }

    /// With authenticated encryption.
    pub(crate) fn is_aead(self) -> bool {
        ["GCM", "CCM", "POLY1305"].iter().any(|m| self.name.contains(m))
    }

    /// What every client of today takes.
    pub(crate) fn is_current(self) -> bool {
        let sealed = ["AES_128_GCM", "AES_256_GCM", "CHACHA20"].iter().any(|m| self.name.contains(m));
        self.name.contains("_ECDHE_") && sealed
    }

    /// What no server should take any more: no secret, or one that can be broken.
    pub(crate) fn is_insecure(self) -> bool {
        // RFC 7465 forbids RC4; MD5 as a digest of records fell with it, and below 112 bits a key can be searched for.
        self.is_anonymous() || self.bits() < 112 || self.name.contains("RC4") || self.name.contains("_MD5")
    }
}

/// Whether the suite exchanges keys by Diffie-Hellman over a prime.
pub(crate) fn is_dhe(id: u16) -> bool {
    Cipher::by_number(id).is_some_and(|c| c.name.contains("_DHE_") || c.name.contains("_DH_anon"))
}

/// The suites of TLS 1.3, or those of the versions before.
pub(crate) fn offered_suites(tls13: bool) -> Vec<u16> {
    // The suites of TLS 1.3 have numbers of their own, and no handshake chooses between these and the others (RFC
    // 8446, B.4).
    CIPHERS.iter().map(|(id, _)| *id).filter(|id| (id >> 8 == 0x13) == tls13).collect()
}

/// The suite's name, else its number.
pub(crate) fn suite_name(id: u16) -> String {
    Cipher::by_number(id).map_or_else(|| format!("{id:#06x}"), |c| c.name.to_string())
}

const CIPHERS: &[(u16, &str)] = &[
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0x00A3, "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384"),
    (0x009F, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xCCAA, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xC0AF, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"),
    (0xC0AD, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    (0xC0A3, "TLS_DHE_RSA_WITH_AES_256_CCM_8"),
    (0xC09F, "TLS_DHE_RSA_WITH_AES_256_CCM"),
    (0xC05D, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384"),
    (0xC061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384"),
    (0xC057, "TLS_DHE_DSS_WITH_ARIA_256_GCM_SHA384"),
    (0xC053, "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384"),
    (0x00A7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384"),
    (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x00A2, "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256"),
    (0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xC0AE, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
    (0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    (0xC0A2, "TLS_DHE_RSA_WITH_AES_128_CCM_8"),
    (0xC09E, "TLS_DHE_RSA_WITH_AES_128_CCM"),
    (0xC05C, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256"),
    (0xC060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256"),
    (0xC056, "TLS_DHE_DSS_WITH_ARIA_128_GCM_SHA256"),
    (0xC052, "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256"),
    (0x00A6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256"),
    (0xC024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    (0xC028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (0x006B, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
    (0x006A, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256"),
    (0xC073, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384"),
    (0xC077, "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384"),
    (0x00C4, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256"),
    (0x00C3, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA256"),
    (0x006D, "TLS_DH_anon_WITH_AES_256_CBC_SHA256"),
    (0x00C5, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA256"),
    (0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x0040, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256"),
    (0xC072, "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256"),
    (0xC076, "TLS_ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256"),
    (0x00BE, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256"),
    (0x00BD, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA256"),
    (0x006C, "TLS_DH_anon_WITH_AES_128_CBC_SHA256"),
    (0x00BF, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA256"),
    (0xC00A, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xC014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x0038, "TLS_DHE_DSS_WITH_AES_256_CBC_SHA"),
    (0x0088, "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA"),
    (0x0087, "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA"),
    (0xC019, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA"),
    (0x003A, "TLS_DH_anon_WITH_AES_256_CBC_SHA"),
    (0x0089, "TLS_DH_anon_WITH_CAMELLIA_256_CBC_SHA"),
    (0xC009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0032, "TLS_DHE_DSS_WITH_AES_128_CBC_SHA"),
    (0x0045, "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA"),
    (0x0044, "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA"),
    (0xC018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"),
    (0x0034, "TLS_DH_anon_WITH_AES_128_CBC_SHA"),
    (0x0046, "TLS_DH_anon_WITH_CAMELLIA_128_CBC_SHA"),
    (0x009D, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0xC0A1, "TLS_RSA_WITH_AES_256_CCM_8"),
    (0xC09D, "TLS_RSA_WITH_AES_256_CCM"),
    (0xC051, "TLS_RSA_WITH_ARIA_256_GCM_SHA384"),
    (0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0xC0A0, "TLS_RSA_WITH_AES_128_CCM_8"),
    (0xC09C, "TLS_RSA_WITH_AES_128_CCM"),
    (0xC050, "TLS_RSA_WITH_ARIA_128_GCM_SHA256"),
    (0x003D, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    (0x00C0, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA256"),
    (0x003C, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x00BA, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA256"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA"),
    (0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA"),
    (0xC006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA"),
    (0xC010, "TLS_ECDHE_RSA_WITH_NULL_SHA"),
    (0xC015, "TLS_ECDH_anon_WITH_NULL_SHA"),
    (0x003B, "TLS_RSA_WITH_NULL_SHA256"),
    (0x0002, "TLS_RSA_WITH_NULL_SHA"),
    (0x0001, "TLS_RSA_WITH_NULL_MD5"),
    // What OpenSSL 3 no longer knows, and old servers still take.
    (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5"),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    (0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5"),
    (0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA"),
    (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0012, "TLS_DHE_DSS_WITH_DES_CBC_SHA"),
    (0x0013, "TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA"),
    (0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA"),
    (0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA"),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0017, "TLS_DH_anon_EXPORT_WITH_RC4_40_MD5"),
    (0x0018, "TLS_DH_anon_WITH_RC4_128_MD5"),
    (0x001A, "TLS_DH_anon_WITH_DES_CBC_SHA"),
    (0x001B, "TLS_DH_anon_WITH_3DES_EDE_CBC_SHA"),
    (0xC002, "TLS_ECDH_ECDSA_WITH_RC4_128_SHA"),
    (0xC007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"),
    (0xC008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    (0xC00C, "TLS_ECDH_RSA_WITH_RC4_128_SHA"),
    (0xC011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"),
    (0xC012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_strength() {
        let cases = [
            (0x1301, 128, true, false),
            (0x1303, 256, true, false),
            (0xC02F, 128, true, false),
            (0xC030, 256, true, false),
            (0x009C, 128, false, false),
            (0x000A, 112, false, false),
            (0x0003, 40, false, true),
            (0x0005, 128, false, true),
            (0x0009, 56, false, true),
            (0x003B, 0, false, true),
        ];
        for (id, bits, secret, insecure) in cases {
            let cipher = Cipher::by_number(id).expect("in the table");
            let told = (cipher.bits(), cipher.is_forward_secret(), cipher.is_insecure());
            assert_eq!(told, (bits, secret, insecure), "{}", cipher.name);
        }
    }

    #[test]
    fn no_number_stands_twice() {
        let mut ids: Vec<u16> = CIPHERS.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|w| w[0] != w[1]), "{ids:x?}");
    }
}
