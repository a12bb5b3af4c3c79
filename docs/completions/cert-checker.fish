# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cert_checker_global_optspecs
    string join \n v/verbose q/quiet json config= h/help V/version
end

function __fish_cert_checker_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cert_checker_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cert_checker_using_subcommand
    set -l cmd (__fish_cert_checker_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cert-checker -n "__fish_cert_checker_needs_command" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c cert-checker -n "__fish_cert_checker_needs_command" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -s q -l quiet -d 'Only say errors'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -l json -d 'Write records as one JSON object per line'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -s V -l version -d 'Print version'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -f -a "check" -d 'Check the certificates of servers and files'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -f -a "verify" -d 'Judge whether a certificate\'s path to a trusted root is valid, from files alone'
complete -c cert-checker -n "__fish_cert_checker_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s f -l targets-from -d 'Take targets from this file, one per line with key=value options behind it, - for stdin; a file of certificates is a target itself; may be given several times' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s H -l host -d 'A target, as check_ssl_cert names it' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s p -l port -d 'Its port' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s P -l protocol -d 'What it speaks: https, tls, smtp, postgres and the other schemes of targets' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s w -l warning -d 'Warn when less than this is left: days (20, 0.5), a time (48h) or a part of the life (30%); add ,>=FLOOR or ,<=CEILING [default: 30%,<=25d]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s c -l critical -d 'Critical when less than this is left [default: 15%,<=7d]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s n -l name -l cn -d 'Name that the certificate must hold [default: the target\'s host; for a file none]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l sni -d 'Name to send in the handshake (SNI) [default: the name]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l connect-to -d 'Connect there instead of looking up the target\'s host' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l cert -d 'Client certificate to show (PEM)' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l key -d 'Private key of the client certificate (PEM)' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s r -l trust -l rootcert -d 'Trust only the roots in this file or folder, not the system\'s; may be given several times' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l ca -d 'Trust the authorities in this file too; may be given several times' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l pin -d 'SHA-256 of the expected certificate or public key: it is accepted whoever signed it; may be given several times' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l crl -d 'Revocation list to look into (PEM or DER); may be given several times' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l least-grade -d 'Warn when the grade is worse (A+, A, A-, B …)' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l password-file -d 'File with the password of PKCS#12 files [default: credential certs_p12_password, or TOBAN_P12_PASSWORD]' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s t -l timeout -d 'Give up on a target after this time; a number alone is of seconds [default: 10s]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l unreachable -d 'How bad it is when a target cannot be reached' -r -f -a "unknown\t'Nobody knows about the certificate'
critical\t'The service is down'"
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l jobs -d 'Check at most so many targets at once' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l job -d 'Name of this job: changes are remembered, runs recorded and metrics written by it' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l discover -d 'Check the TLS ports that listen on this host'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s A -l any-issuer -l noauth -d 'Do not judge who issued it: only time and names'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s s -l self-signed -l selfsigned -d 'Trust a certificate that its own key signed'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l fetch-crl -d 'Fetch the revocation list that the certificate names, and keep it until its next update'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l require-crl -d 'A revocation list that cannot be fetched or used is critical, not just told'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l ignore-ocsp -d 'Do not judge the OCSP answer that the server staples; responders are never asked'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l policy -d 'The browsers\' rules for public authorities too: length of life, transparency'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l hsts -d 'Ask for the Strict-Transport-Security header'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l redirects -d 'Follow a web server\'s redirects and check every server on the way'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l grade -d 'List protocol versions and ciphers, and grade them after SSL Labs\' guide'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l expect-client-auth -d 'The server must ask for a client certificate'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l monitoring -d 'Answer as a monitoring plugin: one line with perfdata, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s q -l quiet -d 'Only say errors'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -l json -d 'Write records as one JSON object per line'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l trust -d 'Certificates to trust, PEM or DER, also such as are no roots; repeatable [default: this system\'s]' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l intermediates -d 'Certificates that may be part of the path, in any order; repeatable, may hold none' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l name -d 'The host, address or mail address that the certificate must be for; repeatable, then for all' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l at -d 'Judge as of this time, not now (RFC 3339, or seconds since 1970)' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l crl -d 'Revocation lists, PEM or DER; repeatable. The leaf\'s issuer must then have one that covers the leaf' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l profile -d 'Whose rules: both (RFC 5280\'s and the Web PKI\'s), rfc5280, webpki, or basic (what common clients enforce)' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l purpose -d 'What the key is for: server, client, email, code-signing, time-stamping, ocsp-signing or any [default: server, or for a mail address client or email]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l max-depth -d 'The most intermediate certificates of a path [default: 16]' -r
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l require-crl -d 'Refuse a path of which any issuer has no revocation list here'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -s q -l quiet -d 'Only say errors'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -l json -d 'Write records as one JSON object per line'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand help; and not __fish_seen_subcommand_from check verify help" -f -a "check" -d 'Check the certificates of servers and files'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand help; and not __fish_seen_subcommand_from check verify help" -f -a "verify" -d 'Judge whether a certificate\'s path to a trusted root is valid, from files alone'
complete -c cert-checker -n "__fish_cert_checker_using_subcommand help; and not __fish_seen_subcommand_from check verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
