complete -c pg-drill -l config -d 'Configuration file [default: /etc/toban/toban.toml, if it is there]' -r -F
complete -c pg-drill -l repo -d 'Repository: file:///dir, s3://bucket/prefix, or the NAME of a [repo.NAME] section; may be given several times' -r
complete -c pg-drill -l s3-endpoint -d 'Endpoint of an S3 service that is not AWS' -r
complete -c pg-drill -l cluster -d 'Name of the PostgreSQL cluster in the repository and of its [cluster.NAME] section' -r
complete -c pg-drill -l db -d 'Live server to compare with: a libpq connection string or URI [default: the cluster\'s db in the configuration]' -r
complete -c pg-drill -l checks -d 'SQL file of queries with expected results; may be given several times' -r -F
complete -c pg-drill -l rpo -d 'Fail when more than this is lost, counted back from the drill\'s begin, as 15min' -r
complete -c pg-drill -l rto -d 'Fail when it takes longer from the begin of the restore to the first answer, as 1h' -r
complete -c pg-drill -l into -d 'What the command restores into' -r -f -a "directory\t'A data directory, which the drill then starts a server in'
server\t'An empty server of the drill\'s own, by PGHOST and PGPORT: for dumps'"
complete -c pg-drill -l work-dir -d 'Folder that the drill works in and clears afterwards; as root it must be given [default: drill/CLUSTER in the state directory]' -r -F
complete -c pg-drill -l preload -d 'Libraries that the restored server loads at its start, separated by commas [default: none]' -r
complete -c pg-drill -l role -d 'Superuser of the restored server [default: asked of the live server, else postgres]' -r
complete -c pg-drill -l user -d 'Operating system user that restores and runs the server, when started as root' -r
complete -c pg-drill -l bin-dir -d 'Folder of PostgreSQL\'s programs [default: found on this machine by the backup\'s major]' -r -F
complete -c pg-drill -l count-up-to -d 'Count the rows of tables up to this size, as 1G; each is read on the live server too' -r
complete -c pg-drill -l timeout -d 'Give up, and fail, after this time' -r
complete -c pg-drill -l report -d 'Where the report goes [default: beside the proof in the state directory]' -r -F
complete -c pg-drill -s v -l verbose -d 'Say what is done; twice for details, three times for everything'
complete -c pg-drill -s q -l quiet -d 'Only say errors'
complete -c pg-drill -l json -d 'Write records as one JSON object per line'
complete -c pg-drill -l no-live -d 'Compare with no live server, whatever the configuration says'
complete -c pg-drill -l no-amcheck -d 'Do not run pg_amcheck'
complete -c pg-drill -l keep -d 'Leave what was restored, and the logs, to be looked at; the next drill clears them'
complete -c pg-drill -s n -l dry-run -d 'Print what would be done, and do nothing'
complete -c pg-drill -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pg-drill -s V -l version -d 'Print version'
