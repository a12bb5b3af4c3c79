# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_wal_shipper_global_optspecs
    string join \n v/verbose q/quiet json config= h/help V/version
end

function __fish_wal_shipper_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_wal_shipper_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_wal_shipper_using_subcommand
    set -l cmd (__fish_wal_shipper_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -s V -l version -d 'Print version'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "push" -d 'Store a file of the WAL: PostgreSQL\'s archive_command'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "fetch" -d 'Give a file of the WAL back: PostgreSQL\'s restore_command'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "get-ahead" -d 'Get segments before they are asked for; `fetch` starts it'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "stream" -d 'Store the WAL while the server writes it: a service'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "list" -d 'List what WAL the repositories have, and what is missing'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "check" -d 'Compare the repositories with the server: how far behind, holes, trouble of the archiver'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "acknowledge" -d 'Say that WAL is lost for good and known to be: `check` alarms about it no more'
complete -c wal-shipper -n "__fish_wal_shipper_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l timeout -d 'Give up after this time; the archiver tries again' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l ahead -d 'How many of the files that wait behind this one to store too; 0 for none' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -s j -l jobs -d 'Parallel workers for those [default: twice the cores]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l level -d 'Level of zstd\'s compression' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l new-system -d 'The repository holds another system: this one was rebuilt or upgraded'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l system -d 'The system it belongs to [default: that of the data directory that this runs in]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l timeline -d 'The timeline that recovery follows, as recovery_target_timeline has it: what other timelines say of the end of the WAL does not count [default: what the newest says counts]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l ahead -d 'How many segments behind this one to get in parallel, for the next calls; 0 for none' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l changes -d 'Bytes to hand over otherwise, as `pg-backup restore` wrote them where tablespaces go to another place' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand fetch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l system -d 'The system it belongs to [default: that of the data directory that this runs in]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l timeline -d 'The timeline that recovery follows, as recovery_target_timeline has it: what other timelines say of the end of the WAL does not count [default: what the newest says counts]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l ahead -d 'How many segments behind this one to get in parallel, for the next calls; 0 for none' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l changes -d 'Bytes to hand over otherwise, as `pg-backup restore` wrote them where tablespaces go to another place' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand get-ahead" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l db -d 'Servers: a libpq connection string or URI [default: the cluster\'s db, DATABASE_URL, then PG* variables]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l slot -d 'The replication slot, made where it is missing, on every server of the connection string' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l interval -d 'Store what came of an unfinished segment at most once in this time' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l level -d 'Level of zstd\'s compression' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l new-system -d 'The repository holds another system: this one was rebuilt or upgraded'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand stream" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand list" -s h -l help -d 'Print help'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l db -d 'Server: a libpq connection string or URI [default: the cluster\'s db, DATABASE_URL, then PG* variables]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l warn-lag -d 'Warn when so much time of the server\'s WAL is in no repository' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l critical-lag -d '… and call it critical from here on' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l monitoring -d 'Answer as a monitoring plugin: one line with perfdata, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l reason -d 'Why nothing need be done about it' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l system -d 'The system it belongs to [default: the only one that the repositories hold]' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -s q -l quiet -d 'Only say errors'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -l json -d 'Write records as one JSON object per line'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand acknowledge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "push" -d 'Store a file of the WAL: PostgreSQL\'s archive_command'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "fetch" -d 'Give a file of the WAL back: PostgreSQL\'s restore_command'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "get-ahead" -d 'Get segments before they are asked for; `fetch` starts it'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "stream" -d 'Store the WAL while the server writes it: a service'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "list" -d 'List what WAL the repositories have, and what is missing'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "check" -d 'Compare the repositories with the server: how far behind, holes, trouble of the archiver'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "acknowledge" -d 'Say that WAL is lost for good and known to be: `check` alarms about it no more'
complete -c wal-shipper -n "__fish_wal_shipper_using_subcommand help; and not __fish_seen_subcommand_from push fetch get-ahead stream list check acknowledge help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
