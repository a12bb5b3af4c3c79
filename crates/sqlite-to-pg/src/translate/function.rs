//! Functions.

use super::compare::{compare_typed, unify_results};
use super::expr::{as_number, as_text, translate, translate_condition};
use super::scope::{Scope, SqlType};
use super::{Translation, Typed, time};
use crate::source::ddl::bare_name;
use sqlite3_parser::ast::{Expr, Operator};
use toban_core::pg::quote_literal;

/// A call.
///
/// # Errors
/// A function that is not known here, or an argument of a type that it would treat in another way.
pub(crate) fn translate_call(
    name: &str,
    args: &[Expr<'_>],
    distinct: bool,
    scope: &Scope<'_>,
) -> Translation {
    let name = bare_name(name).to_ascii_lowercase();
    if let Some(answer) = time::translate_call(&name, args, scope) {
        return answer;
    }
    if let Some(answer) = random_call(&name, args) {
        return Ok(answer);
    }
    match (name.as_str(), args) {
        ("iif" | "if", [when, then, other]) => {
            let (results, ty) = unify_results(vec![translate(then, scope)?, translate(other, scope)?])?;
            Ok((
                format!(
                    "(case when {} then {} else {} end)",
                    translate_condition(when, scope)?,
                    results[0],
                    results[1]
                ),
                ty,
            ))
        }
        ("nullif", [a, b]) => {
            let (left, right) = (translate(a, scope)?, translate(b, scope)?);
            let ty = left.1;
            let (same, _) = compare_typed(left.clone(), Operator::Equals, right)?;
            Ok((format!("(case when {same} then null else {} end)", left.0), ty))
        }
        ("json_extract", [json, path]) => json_path(json, true, path, scope),
        ("typeof", [one]) => type_of(translate(one, scope)?),
        ("json_valid", [one]) => match translate(one, scope)? {
            (sql, SqlType::Json) => {
                Ok((format!("(case when {sql} is null then null else true end)"), SqlType::Bool))
            }
            (sql, _) => Err(format!("json_valid of {sql}")),
        },
        ("count" | "sum" | "total" | "avg" | "group_concat", _) | ("min" | "max", [_]) => {
            aggregate_call(&name, args, distinct, scope)
        }
        _ => {
            let typed: Vec<Typed> = args.iter().map(|a| translate(a, scope)).collect::<Translation<_>>()?;
            plain_call(&name, typed)
        }
    }
}

fn plain_call(name: &str, args: Vec<Typed>) -> Translation {
    let unknown = || format!("the function {name}");
    match (name, args.as_slice()) {
        ("coalesce" | "ifnull", [_, _, ..]) => {
            let (results, ty) = unify_results(args)?;
            Ok((format!("coalesce({})", results.join(", ")), ty))
        }
        ("min" | "max", [_, _, ..]) => least_or_greatest(name, args),
        ("abs", [one]) => as_number(one.clone()).map(|(sql, ty)| (format!("abs({sql})"), ty)),
        // By way of numeric, which rounds halves away from zero as SQLite does; float8 rounds them to even.
        ("round", [one]) => round_call(one, "0"),
        ("round", [one, (digits, SqlType::Int)]) => round_call(one, digits),
        ("length", [(sql, SqlType::Bytes)]) | ("octet_length", [(sql, SqlType::Bytes)]) => {
            Ok((format!("octet_length({sql})"), SqlType::Int))
        }
        ("length", [one]) => Ok((format!("length({})", as_text(one.clone())?), SqlType::Int)),
        ("hex", [(sql, SqlType::Bytes)]) => Ok((format!("upper(encode({sql}, 'hex'))"), SqlType::Text)),
        ("unicode", [(sql, ty)]) if ty.is_text() => Ok((format!("ascii({sql})"), SqlType::Int)),
        ("char", [(sql, SqlType::Int)]) => Ok((format!("chr({sql}::int)"), SqlType::Text)),
        // SQLite folds A to Z alone (<https://sqlite.org/lang_corefunc.html#lower>), as "C" does.
        ("lower" | "upper", [one]) => {
            Ok((format!("{name}({} collate \"C\")", as_text(one.clone())?), SqlType::Text))
        }
        ("trim" | "ltrim" | "rtrim", [one]) => {
            Ok((format!("{}({}, ' ')", trim_name(name), as_text(one.clone())?), SqlType::Text))
        }
        ("trim" | "ltrim" | "rtrim", [one, what]) => {
            let (text, set) = (as_text(one.clone())?, as_text(what.clone())?);
            Ok((format!("{}({text}, {set})", trim_name(name)), SqlType::Text))
        }
        ("instr", [a, b]) => {
            Ok((format!("strpos({}, {})", as_text(a.clone())?, as_text(b.clone())?), SqlType::Int))
        }
        ("replace", [a, b, c]) => {
            let (a, b, c) = (as_text(a.clone())?, as_text(b.clone())?, as_text(c.clone())?);
            Ok((format!("replace({a}, {b}, {c})"), SqlType::Text))
        }
        ("substr" | "substring", [text, (from, SqlType::Int), rest @ ..]) => substr_call(text, from, rest),
        ("likely" | "unlikely", [one]) => Ok(one.clone()),
        ("sqrt" | "ln" | "exp" | "sin" | "cos" | "pi" | "radians" | "degrees", _) => {
            let list: Vec<String> = args
                .iter()
                .map(|a| as_number(a.clone()).map(|(s, _)| format!("({s})::float8")))
                .collect::<Translation<_>>()?;
            Ok((format!("{name}({})", list.join(", ")), SqlType::Float))
        }
        ("floor" | "ceil" | "ceiling", [one]) => {
            as_number(one.clone()).map(|(sql, ty)| (format!("{name}({sql})"), ty))
        }
        _ => Err(unknown()),
    }
}

fn trim_name(name: &str) -> &str {
    if name == "trim" { "btrim" } else { name }
}

/// SQLite's min and max of several are NULL when one is; least and greatest are not.
fn least_or_greatest(name: &str, args: Vec<Typed>) -> Translation {
    let word = if name == "min" { "least" } else { "greatest" };
    let (list, ty) = unify_results(args)?;
    if ty.is_text() {
        return Err(format!("{name} of texts"));
    }
    let nulls: Vec<String> = list.iter().map(|a| format!("{a} is null")).collect();
    Ok((format!("(case when {} then null else {word}({}) end)", nulls.join(" or "), list.join(", ")), ty))
}

fn round_call(one: &Typed, digits: &str) -> Translation {
    let (sql, _) = as_number(one.clone())?;
    Ok((format!("round(({sql})::numeric, {digits})::float8"), SqlType::Float))
}

fn substr_call(text: &Typed, from: &str, rest: &[Typed]) -> Translation {
    let text = as_text(text.clone())?;
    let positive = from.parse::<i64>().is_ok_and(|n| n > 0);
    let negative = from
        .trim_start_matches("(-")
        .trim_end_matches(')')
        .parse::<i64>()
        .ok()
        .filter(|_| from.starts_with("(-"));
    match (rest, negative) {
        ([], _) if positive => Ok((format!("substr({text}, {from})"), SqlType::Text)),
        ([(len, SqlType::Int)], _) if positive && len.parse::<i64>().is_ok_and(|n| n >= 0) => {
            Ok((format!("substr({text}, {from}, {len})"), SqlType::Text))
        }
        // A negative place counts from the end (<https://sqlite.org/lang_corefunc.html#substr>).
        ([], Some(n)) => Ok((format!("right({text}, {n})"), SqlType::Text)),
        _ => Err("substr with computed places".into()),
    }
}

/// The class that SQLite knew is the type that PostgreSQL has.
fn type_of(typed: Typed) -> Translation {
    let (sql, ty) = typed;
    let class = match ty {
        SqlType::Int => "integer",
        SqlType::Float => "real",
        SqlType::Text | SqlType::NoCase => "text",
        SqlType::Bytes => "blob",
        _ => return Err(format!("typeof({sql})")),
    };
    Ok((format!("(case when {sql} is null then 'null' else '{class}' end)"), SqlType::Text))
}

/// `json -> path` and `json ->> path`, `json_extract(json, path)`.
pub(crate) fn json_path(json: &Expr<'_>, text: bool, path: &Expr<'_>, scope: &Scope<'_>) -> Translation {
    let (json, ty) = translate(json, scope)?;
    let (path, path_ty) = translate(path, scope)?;
    if !matches!(ty, SqlType::Json | SqlType::Text) || !path_ty.is_text() {
        return Err(format!("JSON of {json}"));
    }
    let keys = path_steps(path.trim_matches('\'')).ok_or_else(|| format!("the path {path}"))?;
    let (op, ty) = if text { ("#>>", SqlType::Text) } else { ("#>", SqlType::Json) };
    Ok((format!("(({json})::jsonb {op} {})", quote_literal(&format!("{{{}}}", keys.join(",")))), ty))
}

/// `$.a.b[0]` or a bare key.
fn path_steps(path: &str) -> Option<Vec<String>> {
    let fine =
        |key: &&str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    // A bare key is a label of the object, as `->` takes it (<https://sqlite.org/json1.html#jptr>).
    let Some(rest) = path.strip_prefix('$') else {
        return Some(vec![path.to_string()]).filter(|_| fine(&path));
    };
    let parts = rest.replace('[', ".").replace(']', "");
    let keys: Vec<&str> = parts.strip_prefix('.')?.split('.').collect();
    keys.iter().all(fine).then(|| keys.iter().map(ToString::to_string).collect())
}

fn aggregate_call(name: &str, args: &[Expr<'_>], distinct: bool, scope: &Scope<'_>) -> Translation {
    let [first, rest @ ..] = args else { return Ok(("count(*)".into(), SqlType::Int)) };
    let (sql, ty) = translate(first, scope)?;
    let distinct = if distinct { "distinct " } else { "" };
    match name {
        "count" => Ok((format!("count({distinct}{sql})"), SqlType::Int)),
        // PostgreSQL's sum of bigint is numeric, SQLite's an integer; beyond 64 bits both end with an error.
        "sum" if ty == SqlType::Int => Ok((format!("sum({distinct}{sql})::bigint"), SqlType::Int)),
        "sum" | "total" | "avg" => {
            let (sql, _) = as_number((sql, ty))?;
            let word = if name == "avg" { "avg" } else { "sum" };
            let call = format!("{word}({distinct}({sql})::float8)");
            Ok((if name == "total" { format!("coalesce({call}, 0)") } else { call }, SqlType::Float))
        }
        "min" | "max" if ty.is_text() => Ok((format!("{name}({sql} collate \"C\")"), SqlType::Text)),
        "min" | "max" if ty.is_number() || ty.is_time() => Ok((format!("{name}({sql})"), ty)),
        "min" | "max" if ty == SqlType::Bool => Ok((format!("{name}(({sql})::int)"), SqlType::Int)),
        // SQLite's order of the parts is that of the rows, which PostgreSQL does not promise: the comparison of the
        // view tells.
        "group_concat" => {
            let separator = match rest {
                [one] => translate(one, scope)?.0,
                _ => "','".into(),
            };
            Ok((format!("string_agg({distinct}{}, {separator})", as_text((sql, ty))?), SqlType::Text))
        }
        _ => Err(format!("{name} of {sql}")),
    }
}

/// What is random has no value to compare, only a form.
fn random_call(name: &str, args: &[Expr<'_>]) -> Option<Typed> {
    let shown: Vec<String> =
        args.iter().map(|a| a.to_string().to_ascii_lowercase().replace(' ', "")).collect();
    let bytes = |call: &str| {
        call.strip_prefix("randomblob(")?
            .strip_suffix(')')?
            .parse::<u32>()
            .ok()
            .filter(|n| (1..=16).contains(n))
    };
    let digits = |n: u32| format!("substr(md5(gen_random_uuid()::text), 1, {})", n * 2);
    match (name, shown.as_slice()) {
        ("random", []) => Some((
            "(('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint)".into(),
            SqlType::Int,
        )),
        ("randomblob", [n]) => {
            let n = n.parse().ok().filter(|n| (1..=16).contains(n))?;
            Some((format!("decode({}, 'hex')", digits(n)), SqlType::Bytes))
        }
        ("hex", [call]) => bytes(call).map(|n| (format!("upper({})", digits(n)), SqlType::Text)),
        _ => None,
    }
}
