//! Examples and what one should know, below each verb's options; the manual page takes them from here.

pub(crate) const CHECK_HELP: &str = "\
Examples:
  A web server, and a mail server that begins in plain text:
    cert-checker check example.org smtp://mx.example.org
  Is what lies on disk what is being served?
    cert-checker check /etc/letsencrypt/live/example.org/fullchain.pem=example.org:443,smtp://mx.example.org
  Every certificate below a folder, and every TLS port of this host:
    cert-checker check /etc/letsencrypt/live --discover
  A list with options of its own behind each target (db.internal:5432 ca=/etc/ssl/own.pem warning=14d):
    cert-checker check --targets-from targets.txt --json
  As a plugin of a monitoring system, with the options of check_ssl_cert:
    cert-checker check --monitoring -H example.org -p 443 -w 20 -c 7
  Versions, ciphers and the grade that SSL Labs would give:
    cert-checker check --grade --hsts example.org

Warnings begin below min(30 % of the life, 25 d), criticals below min(15 %, 7 d): that fits certificates
of 6 days as well as of 10 years. Each finding has a code that stays the same; docs/guide/certificates.md
lists them. A target that could not be reached is unknown, and when no certificate was seen at all the
run fails.";

pub(crate) const VERIFY_HELP: &str = "\
Examples:
  cert-checker verify fullchain.pem
  cert-checker verify --trust roots.pem --intermediates ints.pem --name example.org leaf.pem
  cert-checker verify --trust ca.pem --crl ca.crl --at 2026-11-21T03:00:00Z --json - <leaf.pem

Status 0 says that a valid path exists, 4 that none does and why; 1 and 2 that it could not be
judged. A file that holds PEM or DER which is no certificate is judged: such a leaf is not valid.
Expiry thresholds, the longest life and transparency logs are not validity: check watches those.

Profiles: rfc5280 holds certificates to RFC 5280, webpki to the browsers' Baseline Requirements
too, basic to what common clients enforce. both refuses what either of the first two refuses,
except what RFC 5280 expressly permits: an authority's certificate as the leaf, a leaf without
extended key usage, a leaf without alternative names when no name is asked for.";
