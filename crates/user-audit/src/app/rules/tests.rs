use super::*;
use crate::cli;
use crate::settings::Settings;
use clap::Parser;

const NOW: &str = "2026-11-22T12:00:00Z";

fn rules(more: &[&str]) -> AccountRules {
    let args = ["user-audit", "app", "--at", NOW].iter().chain(more).copied();
    let args = cli::AuditArgs::try_parse_from(args).expect("parses");
    let cli::AuditVerb::App(app) = args.verb else { unreachable!("it is app") };
    AccountRules::new(&app, &Settings::default())
}

fn format_idle(seconds: i64) -> CellTime {
    let now: Timestamp = NOW.parse().expect("a time");
    CellTime::At(now - SignedDuration::from_secs(seconds))
}

fn days_ago(days: i64) -> CellTime {
    format_idle(days * DAY)
}

fn user() -> User<'static> {
    User {
        id: "7",
        email: Some("anna.mo@example.org"),
        login: None,
        active: Some(true),
        active_is_null: false,
        last_login: days_ago(1),
        last_used: CellTime::Never,
        changed: days_ago(10),
        created: days_ago(300),
        has_password: Some(true),
        off: false,
        locked_until: CellTime::Never,
        mfa: None,
        roles: Vec::new(),
        admin_by: Vec::new(),
    }
}

const MAPPED: Mapped = Mapped { email: true, last_login: true, password_changed: true };

fn found(user: &User<'_>) -> Vec<&'static str> {
    judge_account(user, MAPPED, &rules(&[])).iter().map(crate::finding::AuditFinding::id).collect()
}

#[test]
fn an_account_in_order_has_no_finding() {
    assert_eq!(found(&user()), [""; 0]);
}

#[test]
fn exactly_ninety_days_are_allowed_and_a_second_more_is_not() {
    for (seconds, rule) in [(90 * DAY - 1, None), (90 * DAY, None), (90 * DAY + 1, Some("unused"))] {
        assert_eq!(
            found(&User { last_login: format_idle(seconds), ..user() }),
            Vec::from_iter(rule),
            "{seconds}"
        );
    }
}

#[test]
fn who_never_logged_in_is_judged_by_the_age_of_the_account() {
    let never =
        |created| found(&User { last_login: CellTime::Never, changed: days_ago(1), created, ..user() });
    assert_eq!(never(days_ago(200)), ["never-used"]);
    assert_eq!(never(days_ago(5)), [""; 0], "within the grace");
    assert_eq!(never(CellTime::Never), ["never-used"]);
}

#[test]
fn use_of_an_api_key_is_use() {
    assert_eq!(found(&User { last_login: CellTime::Never, last_used: days_ago(1), ..user() }), [""; 0]);
    assert_eq!(found(&User { last_login: days_ago(91), last_used: days_ago(1), ..user() }), [""; 0]);
}

#[test]
fn dates_that_cannot_be() {
    assert_eq!(found(&User { last_login: format_idle(-3600), ..user() }), ["impossible-date"]);
    assert_eq!(found(&User { last_login: format_idle(-60), ..user() }), [""; 0], "clocks differ");
    assert_eq!(
        found(&User { last_login: CellTime::Impossible, ..user() }),
        ["impossible-date", "never-used"]
    );
    assert_eq!(found(&User { changed: days_ago(60), created: days_ago(59), ..user() }), ["impossible-date"]);
}

#[test]
fn passwords_have_a_window_and_single_sign_on_has_none() {
    let window = rules(&["--password-warning", "14d"]);
    let rule = |changed| {
        let found = judge_account(&User { changed, ..user() }, MAPPED, &window);
        assert!(found.iter().all(|f| f.base.severity != Severity::Critical), "75 days are a warning");
        found.iter().map(crate::finding::AuditFinding::id).collect::<Vec<_>>()
    };
    assert_eq!(found(&User { changed: days_ago(74), ..user() }), [""; 0], "no window unless it is asked for");
    assert_eq!(found(&User { changed: days_ago(76), ..user() }), ["password-old"]);
    assert_eq!(rule(days_ago(60)), [""; 0]);
    assert_eq!(rule(days_ago(62)), ["password-due"]);
    assert_eq!(rule(days_ago(75)), ["password-due"]);
    assert_eq!(rule(format_idle(75 * DAY + 1)), ["password-old"]);
    assert_eq!(rule(CellTime::Never), ["password-old"], "as old as the account");
    assert_eq!(
        found(&User { changed: CellTime::Never, created: CellTime::Never, ..user() }),
        ["password-unknown"]
    );
    assert_eq!(found(&User { changed: days_ago(300), has_password: Some(false), ..user() }), [""; 0]);
}

#[test]
fn disabled_in_any_way_with_a_live_role() {
    let roles = vec!["editor".to_string()];
    let disabled = [
        User { active: Some(false), ..user() },
        User { off: true, ..user() },
        User { locked_until: days_ago(-1), ..user() },
        User { locked_until: CellTime::Forever, ..user() },
    ];
    for user in disabled {
        let unused = User { last_login: days_ago(400), changed: days_ago(400), ..user };
        assert_eq!(found(&unused), ["impossible-date"], "changed before it was made, and not judged for use");
        let live = User { roles: roles.clone(), created: days_ago(500), ..unused.clone() };
        assert_eq!(found(&live), ["disabled-with-roles"]);
        let admin = User { admin_by: vec!["admin".into()], ..live };
        assert_eq!(judge_account(&admin, MAPPED, &rules(&[]))[0].base.severity, Severity::Critical);
    }
}

#[test]
fn nobody_is_told_to_disable_the_last_administrator_or_a_program() {
    let idle = || User { last_login: days_ago(200), ..user() };
    let advice = |user: User<'_>| {
        judge_account(&user, MAPPED, &rules(&[]))
            .into_iter()
            .find(|f| f.id() == "unused")
            .expect("unused")
            .base
            .advice
    };
    assert_eq!(advice(idle()), "disable it");
    assert!(advice(User { email: Some("svc-import@example.org"), ..idle() }).starts_with("ask its owner"));
}

#[test]
fn addresses() {
    let rule = |email| found(&User { email, ..user() });
    assert_eq!(rule(None), ["no-address"]);
    assert_eq!(rule(Some("  ")), ["no-address"]);
    assert_eq!(rule(Some("anna@example.org ")), ["blank-in-address"]);
    assert_eq!(rule(Some("Info@example.org")), ["shared-account"]);
    assert_eq!(rule(Some("svc_backup@example.org")), ["service-account"]);
    let strict = rules(&["--domain", "example.org"]);
    let outside = |email| judge_account(&User { email: Some(email), ..user() }, MAPPED, &strict).len();
    assert_eq!(
        (outside("a@Example.org"), outside("a@example.com"), outside("a@b.example.org"), outside("a")),
        (0, 1, 1, 1)
    );
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_judged() {
    let said = |user: User<'_>| {
        let all = judge_account(&user, MAPPED, &rules(&[])).into_iter();
        all.map(|f| (f.id(), f.base.severity)).collect::<Vec<_>>()
    };
    let wrong = ("impossible-date", Severity::Warning);
    let unread = CellTime::Unreadable;
    assert_eq!(said(User { changed: unread, ..user() }), [wrong, ("password-unknown", Severity::Unknown)]);
    assert_eq!(
        said(User { changed: CellTime::Impossible, ..user() }),
        [wrong, ("password-unknown", Severity::Unknown)]
    );
    assert_eq!(said(User { last_login: unread, ..user() }), [wrong, ("unused", Severity::Unknown)]);
    let keys = User { last_login: CellTime::Never, last_used: unread, ..user() };
    assert_eq!(said(keys), [wrong, ("unused", Severity::Unknown)]);
}

#[test]
fn an_account_without_an_address_has_its_logins_name_or_its_id() {
    let name = |email, login| User { email, login, ..user() }.name();
    assert_eq!(name(Some(""), None), "user 7");
    assert_eq!(name(Some(" "), Some("anna")), "anna");
    assert_eq!(name(None, Some("")), "user 7");
}
