//! Dumps that stay at home, leave it, or are cut off.

use super::*;
use toban_core::Kind;

fn facts(sql: &str) -> Result<Facts> {
    // Byte by byte: no decision may depend on where a buffer ends.
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.len().min(1);
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }
    let (whole, dripped) = (check(sql.as_bytes(), "x.sql"), check(Drip(sql.as_bytes()), "x.sql"));
    assert_eq!(format!("{whole:?}"), format!("{dripped:?}"));
    whole
}

const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 15.18 (Debian)\n\
    SET client_encoding = 'UTF8';\nCREATE TABLE public.t (\n    a text\n);\n\
    CREATE FUNCTION f() RETURNS text AS $_$ select '\\connect x'; $_$ LANGUAGE sql;\n\
    COPY public.t (a) FROM stdin;\n\\\\connect other\nCREATE DATABASE x;\n\\.\n\n\
    INSERT INTO t VALUES ('it''s; \\connect'), (E'a\\'; DROP DATABASE x;');\n\
    --\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n";

#[test]
fn a_dump_that_stays_at_home() {
    assert_eq!(
        facts(DUMP).expect("fine"),
        Facts { major: Some(15), schema: true, data: true, ..Facts::default() }
    );
}

#[test]
fn every_cut_before_the_trailer_is_noticed() {
    let end = DUMP.find("-- PostgreSQL database dump complete").expect("there");
    let begin = DUMP.find("-- PostgreSQL").expect("there") + 30;
    for cut in begin..end + 36 {
        let kind = facts(&DUMP[..cut]).map_err(|e| e.kind());
        assert_eq!(kind, Err(Kind::Corrupt), "cut at {cut}: {:?}", &DUMP[..cut]);
    }
}

#[test]
fn what_leaves_the_database_is_refused_with_its_line() {
    for (sql, said) in [
        ("create table t ();\n\\connect other\n", "line 2: \\connect"),
        ("select 1 \\g /tmp/x\n", "line 1: \\g"),
        ("\\! rm -rf /\n", "line 1: \\!"),
        ("/* \\c x /* */ */ CREATE\n DATABASE app;", "line 2: CREATE DATABASE"),
        ("drop -- hm\n database app;", "line 2: DROP DATABASE"),
        ("drop--hm\ndatabase app;", "line 2: DROP DATABASE"),
        ("create/**/database app;", "line 1: CREATE DATABASE"),
    ] {
        let e = facts(sql).unwrap_err();
        assert!(e.chain().contains(said), "{sql:?}: {e:?}");
    }
}

#[test]
fn quotes_hide_what_they_hold() {
    for sql in [
        "create table \"a;\\c x\" ();",
        "create table t (); select $$ \\c $x$ $$;",
        "create table t (); select $a$ $b$ \\c $a$, 'x';",
        "create table t (a$1 text); -- \\c x\n",
        "create table t (); select E'\\\\', '\\';",
    ] {
        facts(sql).map_err(|e| format!("{sql:?}: {e:?}")).expect("fine");
    }
}

#[test]
fn rows_follow_a_copy_with_options_too() {
    let csv = "create table t (a text);\ncopy t from stdin with (format csv);\nit's \\! one\n\\.\nALTER TABLE t OWNER TO app;\n";
    assert_eq!(
        facts(csv).expect("fine"),
        Facts { schema: true, data: true, owners: true, ..Facts::default() }
    );
}

#[test]
fn data_alone_is_told() {
    let data = "COPY public.t (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, \
                ee, ff, gg, hh, ii, jj, kk, ll, mm, nn, oo, pp, qq, rr, ss, tt, uu, vv, ww, xx, yy, zz) FROM stdin;\n1\n\\.\n";
    assert_eq!(facts(data).expect("fine"), Facts { data: true, ..Facts::default() });
}
