# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_sqlite_to_pg_global_optspecs
    string join \n v/verbose q/quiet json config= h/help V/version
end

function __fish_sqlite_to_pg_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_sqlite_to_pg_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_sqlite_to_pg_using_subcommand
    set -l cmd (__fish_sqlite_to_pg_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -s q -l quiet -d 'Only say errors'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -l json -d 'Write records as one JSON object per line'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -s V -l version -d 'Print version'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -f -a "plan" -d 'Read the file once and say what each table and column would become, and why'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -f -a "run" -d 'Copy everything, compare it, and only then put it in place'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -f -a "verify" -d 'Compare a copy with its source, value by value'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -s o -l output -d 'Write the plan to this file (TOML), to edit and to give to `run --plan`' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l for -d 'Plan for tables that the application\'s own migrations made in this database' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -s j -l jobs -d 'Threads that read' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l include -d 'Only tables that this matches (`*` and `?` stand for anything); may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l exclude -d 'Not what this matches: a table, a column as TABLE.COLUMN, else a view, trigger or index by its name; KIND:NAME, as the report has them, for anything else (default:T.C, check:T.NAME); may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l set -d 'With tables of the application: what a column gets that the source has not, TABLE.COLUMN=EXPRESSION in PostgreSQL\'s words; may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l rename -d 'Another name for a table or a column: OLD=NEW or TABLE.OLD=NEW; may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l cast -d 'How a column is converted: TABLE.COLUMN=CONVERSION or TABLE.COLUMN=TYPE:CONVERSION, as users.created_at=epoch-ms; may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l on-misfit -d 'What becomes of values that do not fit, where no rule of the plan says it [default: the column\'s type is widened until all fit; NUL bytes and broken UTF-8 are replaced]' -r -f -a "reject\t'Leave the row behind'
null\t'Put NULL in its place'
text\t'Make the column text'
bytea\t'Make the column bytea'
replace\t'Put the nearest value that fits in its place'
round\t'Round times that are finer than a microsecond, or than the target\'s type; no reject, and nothing else changes'"
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l schema -d 'Schema of the target' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l snake-case -d 'Make names snake_case: userId becomes user_id'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l keep-rowid -d 'Keep SQLite\'s rowid as a column, in tables where no column of their own is it'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l collate-c -d 'Texts compare and sort byte by byte as in SQLite: COLLATE "C"'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -s q -l quiet -d 'Only say errors'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -l json -d 'Write records as one JSON object per line'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l to -d 'The target: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l plan -d 'Do what this plan says' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l existing -d 'Load into tables that the application made, and this is what happens to rows they hold' -r -f -a "refuse\t'There must be none'
truncate\t'They go'
append\t'They stay, and ours are added'
upsert\t'Ours replace those of the same primary key'
skip-existing\t'Ours of the same primary key stay behind'"
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -s j -l jobs -d 'Connections that copy, and threads that read' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l rejects -d 'Load again only the rows that this list of an earlier run names (its rejects.jsonl), now that a rule changed' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l report -d 'Folder for the report, the rejects and what a person must finish [default: NAME-migration in the working directory, when there is anything to write]' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l include -d 'Only tables that this matches (`*` and `?` stand for anything); may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l exclude -d 'Not what this matches: a table, a column as TABLE.COLUMN, else a view, trigger or index by its name; KIND:NAME, as the report has them, for anything else (default:T.C, check:T.NAME); may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l set -d 'With tables of the application: what a column gets that the source has not, TABLE.COLUMN=EXPRESSION in PostgreSQL\'s words; may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l rename -d 'Another name for a table or a column: OLD=NEW or TABLE.OLD=NEW; may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l cast -d 'How a column is converted: TABLE.COLUMN=CONVERSION or TABLE.COLUMN=TYPE:CONVERSION, as users.created_at=epoch-ms; may be given several times' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l on-misfit -d 'What becomes of values that do not fit, where no rule of the plan says it [default: the column\'s type is widened until all fit; NUL bytes and broken UTF-8 are replaced]' -r -f -a "reject\t'Leave the row behind'
null\t'Put NULL in its place'
text\t'Make the column text'
bytea\t'Make the column bytea'
replace\t'Put the nearest value that fits in its place'
round\t'Round times that are finer than a microsecond, or than the target\'s type; no reject, and nothing else changes'"
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l schema -d 'Schema of the target' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l rehearse -d 'Load and compare in a schema of its own, say how long it took, and drop it'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l undo -d 'Take back what the last run into the schema did'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l even-if-changed -d 'With --undo: also when rows were written to the tables since, which are lost then'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l no-verify -d 'Put it in place without comparing'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l accept-rejects -d 'Values in the list of rejects leave the status at 0, as accept_rejects in every table of the plan'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l snake-case -d 'Make names snake_case: userId becomes user_id'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l keep-rowid -d 'Keep SQLite\'s rowid as a column, in tables where no column of their own is it'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l collate-c -d 'Texts compare and sort byte by byte as in SQLite: COLLATE "C"'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -s q -l quiet -d 'Only say errors'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -l json -d 'Write records as one JSON object per line'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -l against -d 'The copy: a libpq connection string or URI [default: DATABASE_URL, then PG* variables]' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -l plan -d 'The plan it was copied by [default: the one that our run kept beside the copy; of other copies both sides\' types and names]' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -l schema -d 'Schema of the copy' -r
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -s q -l quiet -d 'Only say errors'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -l json -d 'Write records as one JSON object per line'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand help; and not __fish_seen_subcommand_from plan run verify help" -f -a "plan" -d 'Read the file once and say what each table and column would become, and why'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand help; and not __fish_seen_subcommand_from plan run verify help" -f -a "run" -d 'Copy everything, compare it, and only then put it in place'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand help; and not __fish_seen_subcommand_from plan run verify help" -f -a "verify" -d 'Compare a copy with its source, value by value'
complete -c sqlite-to-pg -n "__fish_sqlite_to_pg_using_subcommand help; and not __fish_seen_subcommand_from plan run verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
