# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_user_audit_global_optspecs
    string join \n v/verbose q/quiet json config= h/help V/version
end

function __fish_user_audit_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_user_audit_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_user_audit_using_subcommand
    set -l cmd (__fish_user_audit_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c user-audit -n "__fish_user_audit_needs_command" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c user-audit -n "__fish_user_audit_needs_command" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c user-audit -n "__fish_user_audit_needs_command" -s q -l quiet -d 'Only say errors'
complete -c user-audit -n "__fish_user_audit_needs_command" -l json -d 'Write records as one JSON object per line'
complete -c user-audit -n "__fish_user_audit_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c user-audit -n "__fish_user_audit_needs_command" -s V -l version -d 'Print version'
complete -c user-audit -n "__fish_user_audit_needs_command" -f -a "app" -d 'Audit an application\'s users and roles, in PostgreSQL or SQLite'
complete -c user-audit -n "__fish_user_audit_needs_command" -f -a "roles" -d 'Audit PostgreSQL\'s own roles, their paths to power, pg_hba.conf and grants'
complete -c user-audit -n "__fish_user_audit_needs_command" -f -a "accept" -d 'Record that the access in an evidence pack was reviewed: later runs tell what changed since'
complete -c user-audit -n "__fish_user_audit_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l db -d 'Database to audit; may be given several times: a libpq connection string or URI, or sqlite:FILE for an application [default: the cluster\'s db and databases in the configuration, DATABASE_URL, then PG* variables]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l cluster -d 'Name of the PostgreSQL cluster and of its [cluster.NAME] section; reviews are kept by it' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l timeout -d 'End a query that takes longer' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l pack -d 'Write an evidence pack into a new folder below this one' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l sign-key -d 'Sign the pack\'s SHA256SUMS with this private SSH key, by ssh-keygen' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l reviews -d 'Folder of accepted reviews [default: reviews in the state directory]' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l review-every -d 'Say so when the last accepted review is older [default: 35d]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l redact -d 'What to replace by a keyed hash in everything that is written; the key: credential audit_redact_key, or TOBAN_REDACT_KEY' -r -f -a "email\t'E-mail addresses: the same one gives the same hash, so lists can still be joined'"
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l mapping -d 'Tables and columns: default, django, or an [audit.mapping.NAME] section [default: the section that is called as the database, else default]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l unused -d 'An account is unused after this time [default: 90d]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l grace -d 'A new account may be unused for this time [default: 30d]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l password-age -d 'A password is too old after this time [default: 75d]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l password-warning -d 'Warn this long before a password is too old, too [default: only when it is]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l max-admins -d 'More administrators are too many [default: 5]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l admin-role -d 'A role that makes administrators, beside the usual names (admin, ROLE_ADMIN, superuser, root, owner, what ends in admin); !NAME takes a usual one out; may be given several times' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l domain -d 'A domain that e-mail addresses may have; may be given several times [default: any]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l monitoring -d 'Answer as a monitoring plugin: one line with perfdata, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN'
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l detect -d 'Look at the columns, write a mapping for the configuration, say why and what is not known, and stop'
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -s q -l quiet -d 'Only say errors'
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -l json -d 'Write records as one JSON object per line'
complete -c user-audit -n "__fish_user_audit_using_subcommand app" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l db -d 'Database to audit; may be given several times: a libpq connection string or URI, or sqlite:FILE for an application [default: the cluster\'s db and databases in the configuration, DATABASE_URL, then PG* variables]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l cluster -d 'Name of the PostgreSQL cluster and of its [cluster.NAME] section; reviews are kept by it' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l timeout -d 'End a query that takes longer' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l pack -d 'Write an evidence pack into a new folder below this one' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l sign-key -d 'Sign the pack\'s SHA256SUMS with this private SSH key, by ssh-keygen' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l reviews -d 'Folder of accepted reviews [default: reviews in the state directory]' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l review-every -d 'Say so when the last accepted review is older [default: 35d]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l redact -d 'What to replace by a keyed hash in everything that is written; the key: credential audit_redact_key, or TOBAN_REDACT_KEY' -r -f -a "email\t'E-mail addresses: the same one gives the same hash, so lists can still be joined'"
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l log -d 'A server log to learn from when roles connected (stderr, csvlog or jsonlog, also .gz); may be given several times' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l login-table -d 'A table that a login event trigger (17 and newer) fills, with columns role and last_at; docs/guide/audit.md has the trigger' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l from -d 'Tell who can log in from this address alone, not by every way' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l unused -d 'A role that the logs have not seen for this time is unused [default: 90d]' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l expiry-warning -d 'Warn this long before a password expires' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l monitoring -d 'Answer as a monitoring plugin: one line with perfdata, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN'
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -s q -l quiet -d 'Only say errors'
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -l json -d 'Write records as one JSON object per line'
complete -c user-audit -n "__fish_user_audit_using_subcommand roles" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l reviewer -d 'Who reviewed it' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l decision -d 'What was decided' -r -f -a "approved\t'The access in the pack is as it should be: later runs compare with it'
rejected\t'It is not: recorded, and later runs go on comparing with the review before'"
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l ticket -d 'Where it was decided, as a ticket\'s number' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l reviews -d 'Folder of accepted reviews [default: reviews in the state directory]' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l allowed-signers -d 'Refuse a pack that none of the keys in this file signed (ssh-keygen\'s allowed signers)' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -s q -l quiet -d 'Only say errors'
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -l json -d 'Write records as one JSON object per line'
complete -c user-audit -n "__fish_user_audit_using_subcommand accept" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c user-audit -n "__fish_user_audit_using_subcommand help; and not __fish_seen_subcommand_from app roles accept help" -f -a "app" -d 'Audit an application\'s users and roles, in PostgreSQL or SQLite'
complete -c user-audit -n "__fish_user_audit_using_subcommand help; and not __fish_seen_subcommand_from app roles accept help" -f -a "roles" -d 'Audit PostgreSQL\'s own roles, their paths to power, pg_hba.conf and grants'
complete -c user-audit -n "__fish_user_audit_using_subcommand help; and not __fish_seen_subcommand_from app roles accept help" -f -a "accept" -d 'Record that the access in an evidence pack was reviewed: later runs tell what changed since'
complete -c user-audit -n "__fish_user_audit_using_subcommand help; and not __fish_seen_subcommand_from app roles accept help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
