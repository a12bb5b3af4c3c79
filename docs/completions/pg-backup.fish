# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pg_backup_global_optspecs
    string join \n v/verbose q/quiet json config= h/help V/version
end

function __fish_pg_backup_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pg_backup_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pg_backup_using_subcommand
    set -l cmd (__fish_pg_backup_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pg-backup -n "__fish_pg_backup_needs_command" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_needs_command" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -s V -l version -d 'Print version'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "run" -d 'Back up the whole cluster, while it runs, into one or more repositories'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "restore" -d 'Restore a backup into a data directory, whose server then recovers by itself'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "dump" -d 'Dump databases, with roles and tablespaces, into one or more repositories'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "restore-dump" -d 'Restore a dump, of ours or of anybody, into a new database or in place of one'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "list" -d 'List what the repositories hold'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "verify" -d 'Read back what is stored and check its sums'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "prune" -d 'Delete what the rules no longer keep'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "check" -d 'Judge the newest backup and dumps: age, size, last verify'
complete -c pg-backup -n "__fish_pg_backup_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l db -d 'Server to back up, on this machine: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l data-dir -d 'The server\'s data directory [default: asked of the server]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -s j -l jobs -d 'Parallel workers [default: all cores]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l checkpoint -d 'When the checkpoint comes that the backup begins with' -r -f -a "fast\t'At once; the disks are busy for a moment'
spread\t'Spread over the server\'s usual time (checkpoint_completion_target)'"
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l compress -d 'Form of compression' -r -f -a "zstd\t'zstd; levels -7 to 19'
gzip\t'gzip; levels 1 to 9'
none\t'Not at all'"
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l level -d 'Level of compression [default: 3 of zstd, 6 of gzip]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l max-rate -d 'Read no more than this in a second, as 50M or 1G' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l label -d 'A word to find it by, as before-upgrade' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l new-system -d 'The repository holds another system: this one was rebuilt or upgraded'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l target-dir -d 'Folder that becomes the data directory; it must be empty, or not there' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -s T -l tablespace-mapping -d 'Put the tablespace that was in OLD into NEW; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l tablespace-dir -d 'Put every other tablespace into a folder of its own below DIR, those too that the WAL creates' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l config-dir -d 'Folder for configuration that was outside the data directory [default: the target]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -s j -l jobs -d 'Parallel workers [default: all cores]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l to -d 'Recover to the end of the WAL that the repositories have' -r -f -a "latest\t''"
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l to-time -d 'Recover to this time, as 2026-11-21T03:00:00+01:00: what was committed later is not there' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l to-lsn -d 'Recover to this position of the WAL' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l to-name -d 'Recover to this restore point, made by pg_create_restore_point' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l to-xid -d 'Recover to the end of this transaction' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l timeline -d 'Timeline to follow: latest, current (the backup\'s own), or its number' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l action -d 'What the server does at that moment' -r -f -a "promote\t'It is promoted, and takes writes'
pause\t'It waits, to be looked at; `select pg_wal_replay_resume()` promotes it'
shutdown\t'It shuts down, and stays in recovery'"
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l delta -d 'Rewrite only what differs in a data directory that is there, and delete what the backup does not have'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l keep-archiving -d 'Leave archive_mode, subscriptions and libraries that run jobs as they were: only for a server that takes the old one\'s place'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l immediate -d 'Recover to the end of the backup and no further, from the WAL inside it [the default]'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l utc -d 'A time without a zone is UTC'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l exclusive -d 'Stop just before the moment: without the transaction, or what was committed at that very time'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l db -d 'Server to work with: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l bin-dir -d 'Folder of PostgreSQL\'s programs [default: found on this machine by the server\'s major]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l format -d 'Form of the dump' -r -f -a "custom\t'pg_restore\'s own form: compressed, restored in parallel, single tables can be taken out'
sql\t'Plain SQL compressed with gzip: `gunzip | psql` reads it'"
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l level -d 'Level of compression, 1 to 9' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l globals -d 'Roles and tablespaces that go with it' -r -f -a "full\t'Roles with their password hashes, tablespaces, settings; needs a superuser or pg_read_all_data'
no-passwords\t'The same without password hashes; any role can'
none\t'None'"
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l label -d 'A word to find it by, as before-upgrade' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l all -d 'Every database but template0 and template1; one that cannot be dumped makes the run partial'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l into -d 'Create this database and restore into it; it must not exist, or be empty' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l replace -d 'Put the dump in the place of this database; the old one serves until the new one is checked' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l of -d 'Of `latest`, or of an ID that several databases share: dumps of this database [default with --replace: that one]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l db -d 'Server to work with: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l bin-dir -d 'Folder of PostgreSQL\'s programs [default: found on this machine by the server\'s major]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -s j -l jobs -d 'Parallel jobs, where the dump\'s form allows [default: all cores]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l globals -d 'Create the roles and tablespaces that the dump has and the server lacks'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l no-safety-dump -d 'With --replace: do not dump the present state first; the old database is then kept'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l keep-old -d 'With --replace: keep the old database under another name'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand restore-dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l db -d 'Server to work with: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l bin-dir -d 'Folder of PostgreSQL\'s programs [default: found on this machine by the server\'s major]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l newest -d 'Only the newest of the cluster and of each database'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l fast -d 'Only that every object is there and of its size; proves nothing of what is in it'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l deep -d 'Also restore the newest of each database into a scratch database on --db and compare its rows'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-last -d 'Keep the newest N of the cluster and of each database' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-within -d 'Keep all that are younger, as 30d or 1year' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-hourly -d 'Keep the newest of each of the last N hours that have one' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-daily -d '… of the last N days (UTC)' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-weekly -d '… of the last N ISO weeks' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-monthly -d '… of the last N months' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-yearly -d '… of the last N years' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-min -d 'Never leave fewer than N [default: 1]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l keep-wal -d 'Of the WAL keep only what a moment of this last stretch of time needs [default: all from the oldest kept backup on]' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l warn-age -d 'Warn when the newest is older' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l critical-age -d 'Critical when the newest is older' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l warn-size -d 'Warn when the newest differs in size from the median of the ten before by more than this per cent' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l critical-size -d 'Critical when it differs by more than this per cent' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l warn-verify -d 'Warn when the last verify that succeeded is older' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l critical-verify -d 'Critical when the last verify that succeeded is older' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l warn-drill -d 'Warn when the last restore drill that passed is older, where there were drills' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l at -d 'Judge as of this time, not now (RFC 3339, as 2026-11-21T03:00:00Z)' -r
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l monitoring -d 'Answer as a monitoring plugin: one line with perfdata, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -s q -l quiet -d 'Only say errors'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -l json -d 'Write records as one JSON object per line'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "run" -d 'Back up the whole cluster, while it runs, into one or more repositories'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "restore" -d 'Restore a backup into a data directory, whose server then recovers by itself'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "dump" -d 'Dump databases, with roles and tablespaces, into one or more repositories'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "restore-dump" -d 'Restore a dump, of ours or of anybody, into a new database or in place of one'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "list" -d 'List what the repositories hold'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "verify" -d 'Read back what is stored and check its sums'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "prune" -d 'Delete what the rules no longer keep'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "check" -d 'Judge the newest backup and dumps: age, size, last verify'
complete -c pg-backup -n "__fish_pg_backup_using_subcommand help; and not __fish_seen_subcommand_from run restore dump restore-dump list verify prune check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
