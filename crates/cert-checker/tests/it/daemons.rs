//! Real servers of Debian's packages: nginx, postfix, dovecot, slapd, MariaDB, and PostgreSQL.

use crate::mint::{Authority, DAY, Made, Wish, pem};
use crate::world::{Found, World, findings};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testkit::{Pg, tools, until};

/// A server and its folder; ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        signal(self.child.id(), "TERM");
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while std::time::Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
}

/// The folder into which `cargo xtask setup` unpacks the packages.
fn unpacked(path: &str) -> PathBuf {
    let found = tools().join("daemons").join(path);
    assert!(found.exists(), "{} is missing; run: cargo xtask setup", found.display());
    found
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn libraries() -> String {
    ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/postfix", "usr/lib/dovecot"]
        .map(|p| tools().join("daemons").join(p).display().to_string())
        .join(":")
}

/// A folder that daemons which drop to another user can enter, with the certificate and its key in it.
fn home(chain: &str, key: &str) -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("toban-daemon").tempdir_in("/tmp").expect("a folder");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    put(dir.path(), chain, key);
    dir
}

/// What a renewal writes.
fn put(dir: &Path, chain: &str, key: &str) {
    for (name, text) in [("server.crt", chain), ("server.key", key)] {
        std::fs::write(dir.join(name), text).expect("written");
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o600)).expect("chmod");
    }
}

fn start(dir: tempfile::TempDir, port: u16, command: &mut Command) -> Daemon {
    let log = std::fs::File::create(dir.path().join("log")).expect("a log");
    let command =
        command.env("LD_LIBRARY_PATH", libraries()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let child = command.spawn().expect("starts");
    let daemon = Daemon { child, dir, port };
    until("the server listens", Duration::from_secs(30), || {
        TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| {
            let log = std::fs::read_to_string(daemon.dir.path().join("log")).unwrap_or_default();
            format!("{e}: {log}")
        })
    });
    daemon
}

fn nginx(chain: &str, key: &str) -> Daemon {
    nginx_with(chain, key, "")
}

/// With more words for its server.
fn nginx_with(chain: &str, key: &str, more: &str) -> Daemon {
    let (dir, port) = (home(chain, key), free_port());
    let at = dir.path().display();
    let config = format!(
        "daemon off; master_process on; pid {at}/pid; error_log {at}/error.log; worker_processes 1; events {{}}
http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {at}/server.crt; ssl_certificate_key {at}/server.key;
ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305; ssl_prefer_server_ciphers on;
add_header Strict-Transport-Security \"max-age=63072000; includeSubDomains\" always; {more} location / {{ return 204; }} }} }}"
    );
    std::fs::write(dir.path().join("nginx.conf"), config).expect("written");
    let conf = dir.path().join("nginx.conf");
    let mut command = Command::new(unpacked("usr/sbin/nginx"));
    command.args(["-p", &dir.path().display().to_string(), "-e", "stderr", "-c"]).arg(conf);
    start(dir, port, &mut command)
}

fn slapd(chain: &str, key: &str) -> Daemon {
    let (dir, port) = (home(chain, key), free_port());
    let at = dir.path().display();
    let config = format!(
        "pidfile {at}/pid\nTLSCertificateFile {at}/server.crt\nTLSCertificateKeyFile {at}/server.key\n"
    );
    std::fs::write(dir.path().join("slapd.conf"), config).expect("written");
    let conf = dir.path().join("slapd.conf");
    let mut command = Command::new(unpacked("usr/sbin/slapd"));
    command.args(["-h", &format!("ldap://127.0.0.1:{port}"), "-d", "0", "-f"]).arg(conf);
    start(dir, port, &mut command)
}

fn mariadb(chain: &str, key: &str) -> Daemon {
    let (dir, port) = (home(chain, key), free_port());
    let at = dir.path().display().to_string();
    let share = unpacked("usr/share/mysql").display().to_string();
    std::fs::create_dir(dir.path().join("data")).expect("a folder");
    let mut command = Command::new(unpacked("usr/sbin/mariadbd"));
    command.args(["--no-defaults", "--user=root", "--skip-grant-tables", "--skip-innodb"]);
    command.args(["--default-storage-engine=Aria", "--bind-address=127.0.0.1"]);
    command.args([format!("--datadir={at}/data"), format!("--port={port}"), format!("--socket={at}/sock")]);
    command.args([format!("--ssl-cert={at}/server.crt"), format!("--ssl-key={at}/server.key")]);
    command.args([format!("--lc-messages-dir={share}"), format!("--character-sets-dir={share}/charsets")]);
    start(dir, port, &mut command)
}

fn postfix(chain: &str, key: &str) -> Daemon {
    let (dir, port) = (home(chain, key), free_port());
    let at = dir.path().display();
    let daemons = unpacked("usr/lib/postfix/sbin").display().to_string();
    let shared = unpacked("usr/lib/postfix").display().to_string();
    let config = format!(
        "compatibility_level = 3.6\nqueue_directory = {at}/q\ndata_directory = {at}/var\ndaemon_directory = {daemons}\n\
         shlib_directory = {shared}\nmail_owner = mail\nsetgid_group = games\ndefault_privs = nobody\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmaillog_file = {at}/mail.log\nmaillog_file_prefixes = {at}\n\
         smtpd_tls_cert_file = {at}/server.crt\nsmtpd_tls_key_file = {at}/server.key\nsmtpd_tls_security_level = may\n\
         import_environment = LD_LIBRARY_PATH MAIL_CONFIG\nexport_environment = LD_LIBRARY_PATH\nmyhostname = localhost\n\
         alias_maps =\nlocal_recipient_maps =\n"
    );
    let services = format!(
        "127.0.0.1:{port} inet n - n - - smtpd\nanvil unix - - n - 1 anvil\nrewrite unix - - n - - trivial-rewrite\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\npostlog unix-dgram n - n - 1 postlogd\nproxymap unix - - n - - proxymap\n"
    );
    let conf = dir.path().join("conf");
    std::fs::create_dir(&conf).expect("a folder");
    std::fs::write(conf.join("main.cf"), config).expect("written");
    std::fs::write(conf.join("master.cf"), services).expect("written");
    for queue in
        ["private", "public", "pid", "active", "incoming", "deferred", "defer", "bounce", "maildrop", "hold"]
    {
        std::fs::create_dir_all(dir.path().join("q").join(queue)).expect("a folder");
    }
    std::fs::create_dir(dir.path().join("var")).expect("a folder");
    let owned =
        ["q/private", "q/public", "q/pid", "q/active", "q/incoming", "var"].map(|p| dir.path().join(p));
    crate::world::ok(
        "chown",
        &[&["mail"][..], &owned.each_ref().map(|p| p.to_str().expect("UTF-8"))].concat(),
    );
    let mut command = Command::new(format!("{daemons}/master"));
    start(dir, port, command.args(["-d", "-c"]).arg(conf))
}

/// Its TLS module lies where it was built for, so it sees its own files there, in a mount namespace of its own.
fn dovecot(chain: &str, key: &str) -> Daemon {
    let (dir, port) = (home(chain, key), free_port());
    let at = dir.path().display();
    let lib = unpacked("usr/lib").display().to_string();
    let config = format!(
        "base_dir = {at}/run\nlog_path = {at}/dovecot.log\nprotocols = imap\nssl = yes\nssl_cert = <{at}/server.crt\n\
         ssl_key = <{at}/server.key\nlibexec_dir = {lib}/dovecot\ndefault_login_user = nobody\n\
         default_internal_user = daemon\ndefault_internal_group = daemon\nimport_environment = LD_LIBRARY_PATH\n\
         passdb {{\n driver = static\n args = nopassword=y\n}}\nuserdb {{\n driver = static\n args = uid=nobody gid=nogroup home={at}\n}}\n\
         service imap-login {{\n chroot =\n inet_listener imap {{\n  address = 127.0.0.1\n  port = {port}\n }}\n inet_listener imaps {{\n  port = 0\n }}\n}}\n\
         service anvil {{\n chroot =\n}}\n"
    );
    std::fs::write(dir.path().join("dovecot.conf"), config).expect("written");
    let (doveconf, program) = (unpacked("usr/bin/doveconf"), unpacked("usr/sbin/dovecot"));
    let script = format!(
        "mount -t overlay -o lowerdir={lib}:/usr/lib overlay /usr/lib && \
         exec {} -c {at}/dovecot.conf -f service=master -m master -e {} -F -c {at}/dovecot.conf",
        doveconf.display(),
        program.display()
    );
    let mut command = Command::new("unshare");
    start(dir, port, command.args(["-m", "sh", "-c", &script]))
}

/// Certificates of one name: the first, its renewal, and one of the renewal's key with another chain.
struct Life {
    root: Authority,
    middle: Authority,
    first: Made,
    renewed: Made,
}

impl Life {
    fn new() -> Life {
        let root = Wish::authority("Test Root").root();
        let middle = Wish::authority("Test Intermediate").below(&root);
        let first = Wish::server(&["www.example.org"]).signed_by(&middle);
        let renewed = Wish::server(&["www.example.org"]).between(-DAY, 89 * DAY).signed_by(&middle);
        Life { root, middle, first, renewed }
    }

    fn chain(&self, made: &Made) -> String {
        pem(&[&made.der, &self.middle.der])
    }
}

#[test]
fn every_protocol_with_its_own_server() {
    let (world, life) = (World::new(), Life::new());
    let root = world.file("root.pem", pem(&[&life.root.der])).display().to_string();
    let (chain, key) = (life.chain(&life.first), life.first.key.serialize_pem());
    let servers = [
        ("https", nginx(&chain, &key)),
        ("smtp", postfix(&chain, &key)),
        ("imap", dovecot(&chain, &key)),
        ("ldap", slapd(&chain, &key)),
        ("mysql", mariadb(&chain, &key)),
    ];
    for (scheme, daemon) in &servers {
        let target = format!("{scheme}://127.0.0.1:{}", daemon.port);
        let ran = world.check(&[&target, "--trust", &root]);
        let known: Vec<String> = ran.finding_ids().into_iter().filter(|f| !f.ends_with(" ok")).collect();
        assert_eq!(known, [""; 0], "{target}: {ran:?}");
        // slapd and MariaDB send the first certificate of their file, or all of it.
        assert!(ran.records()[0]["not_after"].is_string(), "{target}: {ran:?}");
    }
    let pg = Pg::builder().tls(&chain, &key).start();
    let ran = world.check(&[&format!("postgres://127.0.0.1:{}", pg.port()), "--trust", &root]);
    assert_eq!((ran.finding_ids(), ran.status), (vec![], Some(0)), "{ran:?}");
    let plain = Pg::builder().tcp().start();
    let ran = world.check(&[&format!("postgres://127.0.0.1:{}", plain.port()), "--trust", &root]);
    assert_eq!(ran.finding_ids(), ["starttls-refused unknown"], "{ran:?}");
}

/// Renewed on disk, reloaded, chain changed, an older file: what is said of the pair at each step.
fn matrix(scheme: &str, daemon: &Daemon, world: &World, life: &Life, reload: &dyn Fn()) {
    let dir = daemon.dir.path();
    steps(scheme, daemon.port, dir, world, life, reload, &|chain, key| put(dir, chain, key));
}

#[expect(clippy::too_many_arguments, reason = "each server is reloaded and renewed in its own way")]
fn steps(
    scheme: &str,
    port: u16,
    dir: &Path,
    world: &World,
    life: &Life,
    reload: &dyn Fn(),
    renew: &dyn Fn(&str, &str),
) {
    let root = world.file("root.pem", pem(&[&life.root.der])).display().to_string();
    let pair = format!("{}={scheme}://127.0.0.1:{port}", dir.join("server.crt").display());
    let said = || {
        let ran = world.check(&[&pair, "--trust", &root]);
        let served = ran
            .records()
            .into_iter()
            .find(|r| r["connection"].is_object())
            .unwrap_or_else(|| panic!("{ran:?}"));
        findings(&served).into_iter().filter(|f| f.contains("serve")).collect::<Vec<_>>()
    };
    let becomes = |expected: &[&str]| {
        // An old worker may still take one more connection: five in a row must be the new one's.
        until("the reload is done", Duration::from_secs(20), || {
            let found = (0..5).map(|_| said()).find(|found| found != expected);
            found.map_or(Ok(()), |found| Err(format!("{scheme}: {found:?}, not {expected:?}")))
        });
    };
    assert_eq!(said(), [""; 0], "{scheme}: the same");
    let (first, renewed) = (life.first.key.serialize_pem(), life.renewed.key.serialize_pem());
    renew(&life.chain(&life.renewed), &renewed);
    assert_eq!(said(), ["not-served critical"], "{scheme}: renewed");
    reload();
    becomes(&[]);
    let other = Wish::authority("Test Intermediate").between(-100 * DAY, 3000 * DAY);
    let crossed = life.middle.crossed(&other, &life.root);
    renew(&pem(&[&life.renewed.der, &crossed]), &renewed);
    assert_eq!(said(), ["served-chain-differs warning"], "{scheme}: another chain");
    renew(&life.chain(&life.first), &first);
    assert_eq!(said(), ["served-newer warning"], "{scheme}: an older file");
    reload();
    becomes(&[]);
}

#[test]
fn disk_and_nginx() {
    let (world, life) = (World::new(), Life::new());
    let daemon = nginx(&life.chain(&life.first), &life.first.key.serialize_pem());
    matrix("https", &daemon, &world, &life, &|| signal(daemon.child.id(), "HUP"));
}

#[test]
fn disk_and_postfix() {
    let (world, life) = (World::new(), Life::new());
    let daemon = postfix(&life.chain(&life.first), &life.first.key.serialize_pem());
    matrix("smtp", &daemon, &world, &life, &|| signal(daemon.child.id(), "HUP"));
}

#[test]
fn disk_and_dovecot() {
    let (world, life) = (World::new(), Life::new());
    let daemon = dovecot(&life.chain(&life.first), &life.first.key.serialize_pem());
    matrix("imap", &daemon, &world, &life, &|| signal(daemon.child.id(), "HUP"));
}

#[test]
fn disk_and_postgresql() {
    let (world, life) = (World::new(), Life::new());
    let pg = Pg::builder().tls(&life.chain(&life.first), &life.first.key.serialize_pem()).start();
    let data = pg.data_dir().to_path_buf();
    let renew = |chain: &str, key: &str| {
        for (name, text) in [("server.crt", chain), ("server.key", key)] {
            // Truncated in place: owner and mode stay.
            std::fs::write(data.join(name), text).expect("written");
        }
    };
    steps("postgres", pg.port(), &data, &world, &life, &|| signal(pg.pid(), "HUP"), &renew);
}

#[test]
fn an_a_plus_by_nginx() {
    let (world, life) = (World::new(), Life::new());
    let root = world.file("root.pem", pem(&[&life.root.der])).display().to_string();
    let daemon = nginx(&life.chain(&life.first), &life.first.key.serialize_pem());
    let target = format!("https://127.0.0.1:{}", daemon.port);
    let ran = world.check(&[&target, "--trust", &root, "--grade", "--hsts", "--least-grade", "A+"]);
    assert_eq!((ran.finding_ids(), ran.status), (vec!["grade ok".to_string()], Some(0)), "{ran:?}");
    let record = &ran.records()[0];
    assert_eq!(record["grade"]["grade"], "A+", "{record}");
    // What nginx was told, and the three of TLS 1.3 that OpenSSL always takes.
    assert_eq!(record["accepts"]["accepted"].as_array().map(Vec::len), Some(5), "{record}");
}

/// nginx takes whatever client certificate it is shown, and says what it thinks of it in HTTP.
#[test]
fn client_certificates_that_nginx_refuses() {
    let (world, life) = (World::new(), Life::new());
    let root = world.file("root.pem", pem(&[&life.root.der])).display().to_string();
    let (clients, strangers) = (Wish::authority("Clients").root(), Wish::authority("Strangers").root());
    let trusted = world.file("clients.pem", pem(&[&clients.der]));
    let more = format!("ssl_client_certificate {}; ssl_verify_client on;", trusted.display());
    let daemon = nginx_with(&life.chain(&life.first), &life.first.key.serialize_pem(), &more);
    for (by, refused) in [(&clients, false), (&strangers, true)] {
        let mut wish = Wish::server(&["me"]).between(-30 * DAY, 300 * DAY);
        wish.0.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let own = wish.signed_by(by);
        world.file("me.pem", pem(&[&own.der]));
        world.file("me.key", own.key.serialize_pem());
        let target = format!("https://127.0.0.1:{}", daemon.port);
        let ran = world.check(&[&target, "--trust", &root, "--cert", "me.pem", "--key", "me.key"]);
        let told = ran.finding_ids().contains(&"client-certificate-refused critical".to_string());
        assert_eq!(told, refused, "{ran:?}");
    }
}
