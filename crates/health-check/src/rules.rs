//! What `run` can find.

const GRANT: &str = "grant pg_monitor to the role that asks";

toban_core::rules! {
    CPU = "cpu" in "cpu":
        "how busy the processors are, in a container of its quota: raised after 3 of 5 runs",
        "look at `top`: what runs, and should it run now? else more processors";
    CPU_THROTTLED = "cpu-throttled" in "cpu":
        "the container is held back in more than a quarter of the periods of its quota", "raise the quota";
    MEMORY = "memory" in "memory":
        "memory that is not available, in a container of its limit: raised after 2 of 3 runs",
        "look at `ps --sort=-rss`; lower what a program may take, or add memory";
    OOM_KILL = "oom-kill" in "memory":
        "the kernel killed a process for want of memory since the last run",
        "`journalctl -k | grep -i oom` names it: restart it, and give it a limit or more memory";
    PRESSURE = "pressure" in "pressure":
        "how long tasks stood still for want of memory, disk or processors", "find what takes it: `top`, `iotop`";
    DISK = "disk" in "disk":
        "space used of a file system, as df counts it", "`du -xh --max-depth=2` finds what grew; delete or extend";
    INODES = "inodes" in "disk":
        "inodes used of a file system", "find the folder with millions of small files";
    DISK_FILLS = "disk-fills" in "disk":
        "at the pace of the last day the file system is full within 3 days", "find what grows before it is full";
    DISK_READ_ONLY = "disk-read-only" in "disk":
        "a file system that was writable is read-only: the kernel met an error on it",
        "`dmesg` says why; stop what writes to it, check the disk, repair it with fsck";
    DISK_UNRESPONSIVE = "disk-unresponsive" in "disk":
        "a file system does not answer, or with an error", "bring its server back, or umount -l it";
    NETWORK = "network" in "network":
        "how busy a line is, in its busier direction", "find who sends: `ss -ti`, `iftop`; move the bulk out of the day";
    NETWORK_ERRORS = "network-errors" in "network":
        "more than one packet in a thousand is in error or dropped", "look at cable, port and driver: `ip -s link`";
    FILE_HANDLES = "file-handles" in "handles":
        "open file handles of the whole machine", "`lsof | awk '{print $1}' | sort | uniq -c` finds who keeps them";
    CLOCK = "clock" in "clock":
        "whether something keeps the clock", "start systemd-timesyncd or chrony, and let NTP out";
    REBOOTED = "rebooted" in "machine":
        "the machine was started anew since the last run", "nothing, if it was meant to be";

    PG_CONNECT = "pg-connect" in "postgres":
        "whether the server takes connections", "is it running? its log says why it refuses";
    PG_RIGHT = "pg-right" in "postgres":
        "the role may not see what others do: most of the server is not judged", GRANT;
    PG_CHECK = "pg-check" in "postgres":
        "a question could not be answered", "the text says why; the other checks were made";
    PG_ROLE = "pg-role" in "postgres":
        "the server is not what it must be, primary or standby: a failover nobody noticed",
        "find out which server is the primary, and that there is one only";
    PG_CONNECTIONS = "pg-connections" in "postgres":
        "sessions of what ordinary roles may have: raised after 2 runs",
        "find who keeps them: select * from pg_stat_activity; end idle ones, or put a pooler before it";
    PG_LIMIT = "pg-connection-limit" in "postgres":
        "a role or a database nears its own connection limit", "alter role or database … connection limit, or end sessions";
    PG_IDLE = "pg-idle-in-transaction" in "postgres":
        "a session has a transaction open and does nothing: its locks and its snapshot stay",
        "select pg_terminate_backend(PID); set idle_in_transaction_session_timeout";
    PG_LONG = "pg-long-transaction" in "postgres":
        "a transaction is open for long: vacuum removes nothing that is younger",
        "find what it does; select pg_cancel_backend(PID)";
    PG_BLOCKED = "pg-blocked" in "postgres":
        "a session waits for a lock", "look at the session that blocks it; select pg_cancel_backend(PID)";
    PG_STANDBY = "pg-standby" in "postgres":
        "a standby is missing or behind, as its primary sees it",
        "look at the standby's log, and at the network between";
    PG_SYNC = "pg-sync-standby" in "postgres":
        "no synchronous standby is connected: commits wait for ever",
        "bring one back, or set synchronous_standby_names = '' and reload";
    PG_REPLICATION = "pg-replication" in "postgres":
        "the standby does not replicate, or is behind", "its log says why; a lost slot needs a new base backup";
    PG_SLOT = "pg-slot" in "postgres":
        "a replication slot is lost, holds too much WAL or is not used",
        "start its client, or select pg_drop_replication_slot(…) before pg_wal fills the disk";
    PG_ARCHIVER = "pg-archiver" in "postgres":
        "the archiver fails, or files wait for it", "the server's log has the message of archive_command";
    PG_WAL = "pg-wal" in "postgres":
        "pg_wal is far larger than its settings allow", "correct what holds it: the archiver, a slot, wal_keep_size";
    PG_WRAPAROUND = "pg-wraparound" in "postgres":
        "transaction ids of a database grow old: near two thousand million the server refuses to write",
        "end what holds the oldest, then VACUUM FREEZE the oldest tables";
    PG_CHECKSUM = "pg-checksum-failures" in "postgres":
        "pages whose checksum is wrong were read", "restore to another machine now; then find the broken disk";
    PG_SUBSCRIPTION = "pg-subscription" in "postgres":
        "a subscription is off or has no worker", "the server's log says why; alter subscription … enable";

    PGBOUNCER = "pgbouncer" in "pgbouncer":
        "pgbouncer does not answer, or clients wait for a server connection",
        "raise pool_size, or find what keeps the server connections";
    REDIS = "redis" in "redis":
        "Redis or Valkey does not answer, or answers that it does not serve", "its log says why";
    REDIS_WRITES = "redis-writes" in "redis":
        "Redis refuses writes, since it could not save", "free its disk; its log names the failed save";
    REDIS_MEMORY = "redis-memory" in "redis":
        "memory used of what Redis may have", "raise maxmemory, or set a policy that evicts";
    REDIS_CLIENTS = "redis-clients" in "redis":
        "clients of those that Redis takes", "find who keeps connections: CLIENT LIST";
    REDIS_REPLICA = "redis-replica" in "redis":
        "a replica has lost its master", "look at the master and at the network between";
    REDIS_SAVING = "redis-saving" in "redis":
        "the last save or append failed", "free its disk; its log has the reason";

    HTTP = "http" in "http":
        "an endpoint does not answer, or not as it must", "look at the service's log";
    HTTP_TIME = "http-time" in "http":
        "how long an endpoint takes, the median of three requests", "find what it waits for: database, disk, another service";
    HTTP_ADDRESS = "http-address" in "http":
        "one of the addresses of a name does not answer: some clients wait or fail",
        "take the address out of DNS, or bring it back";
    BROKER = "broker" in "brokers":
        "RabbitMQ or Elasticsearch says that it is not well", "its own log and management pages say more";
    UNIT = "unit" in "units":
        "a unit or timer that must be active is not", "systemctl status UNIT; journalctl -u UNIT";
    UNIT_RESTARTS = "unit-restarts" in "units":
        "a unit starts again and again", "journalctl -u UNIT: the end of each life says why";
    ERRORS = "request-errors" in "traffic":
        "the share of users' requests that fail", "look at the log of the application; was something rolled out?";
    REQUEST_TIME = "request-time" in "traffic":
        "the 95th percentile of the time that users' requests take", "find what it waits for";
}
