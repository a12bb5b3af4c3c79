//! Whether a path from a certificate to a trusted root is valid, by RFC 5280 or as webpki judges. Pure.
