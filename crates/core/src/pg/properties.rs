//! Random strings through the parsers. TOBAN_SEED repeats a run, TOBAN_ROUNDS sets its length.

use super::passfile::{Wanted, find_password};
use super::settings::Settings;
use super::{keyvalue, uri};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn run_property<S: Strategy>(strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let (seed, cases) = (testkit::seed(), u32::try_from(testkit::rounds(500)).expect("32 bits of rounds"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let bytes: [u8; 32] = std::array::from_fn(|i| seed.to_le_bytes()[i % 8]);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    runner.run(strategy, check).unwrap_or_else(|e| panic!("{e}"));
}

/// Words full of what the grammars treat specially.
fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(" \t\n'\"\\:=@/?&,[]%#*aö漢0+".chars().collect::<Vec<_>>()),
        0..12,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn make_settings(pairs: &[(&str, &str)]) -> Settings {
    let mut all = Settings::default();
    pairs.iter().for_each(|(k, v)| all.set_value(k, (*v).to_string()).expect("a known key"));
    all
}

#[test]
fn what_is_quoted_is_read_back_from_key_value() {
    run_property(&(any_text(), any_text(), any_text()), |(user, password, dbname)| {
        let pairs = [("user", &*user), ("password", &*password), ("dbname", &*dbname)];
        let line: String =
            pairs.iter().map(|(k, v)| format!(" {k} = {} ", keyvalue::quote_value(v))).collect();
        prop_assert_eq!(keyvalue::parse_keyvalue(&line).expect("it is well-formed"), make_settings(&pairs));
        Ok(())
    });
}

#[test]
fn what_is_encoded_is_read_back_from_a_uri() {
    run_property(&(any_text(), any_text(), any_text(), any_text()), |(user, password, dbname, app)| {
        let [u, p, d, a] = [&user, &password, &dbname, &app].map(|t| uri::encode_component(t));
        let read = uri::parse_uri(&format!("{u}:{p}@db1:5433,db2/{d}?application_name={a}"))
            .expect("it is well-formed");
        let mut pairs = vec![("host", "db1,db2"), ("port", "5433,"), ("application_name", &*app)];
        let parts = [("user", &*user), ("password", &*password), ("dbname", &*dbname)];
        pairs.extend(parts.into_iter().filter(|(_, v)| !v.is_empty()));
        prop_assert_eq!(read, make_settings(&pairs));
        Ok(())
    });
}

#[test]
fn what_is_escaped_is_found_in_a_passfile() {
    let escape = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
    let plain = || any_text().prop_map(|t| t.replace('\n', ""));
    run_property(&(plain(), plain(), plain(), plain()), |(host, dbname, user, password)| {
        // A lone * is the wildcard, a # at the start a comment: neither can be escaped.
        prop_assume!(!host.starts_with('#') && !password.is_empty());
        let fields = [&*host, "5432", &*dbname, &*user, &*password].map(escape);
        let wanted = Wanted { host: &host, port: "5432", dbname: &dbname, user: &user };
        let found = find_password(&fields.join(":"), wanted).map(|s| s.reveal().to_string());
        prop_assert_eq!(found, Some(password));
        Ok(())
    });
}

#[test]
fn no_text_makes_a_parser_panic() {
    run_property(&any_text(), |t| {
        let _ = (
            keyvalue::parse_keyvalue(&t),
            uri::parse_uri(&t),
            keyvalue::parse_keyvalue(&format!("host={t}")),
        );
        let _ = find_password(&t, Wanted { host: "", port: "", dbname: "", user: "" });
        Ok(())
    });
}
