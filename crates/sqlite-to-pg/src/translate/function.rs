//! Functions.

use super::compare::{alike, compare};
use super::expr::{as_number, as_text, logical, translate};
use super::scope::{Scope, Ty};
use super::{Answer, time};
use crate::source::ddl::bare;
use sqlite3_parser::ast::{Expr, Operator};
use toban_core::pg::literal;

/// A call.
///
/// # Errors
/// A function that is not known here, or an argument of a type that it would treat in another way.
pub(crate) fn call(name: &str, args: &[Expr<'_>], distinct: bool, scope: &Scope<'_>) -> Answer {
    let name = bare(name).to_ascii_lowercase();
    if let Some(answer) = time::call(&name, args, scope) {
        return answer;
    }
    if let Some(answer) = random(&name, args) {
        return Ok(answer);
    }
    match (name.as_str(), args) {
        ("iif" | "if", [when, then, other]) => {
            let (results, ty) = alike(vec![translate(then, scope)?, translate(other, scope)?])?;
            Ok((
                format!("(case when {} then {} else {} end)", logical(when, scope)?, results[0], results[1]),
                ty,
            ))
        }
        ("nullif", [a, b]) => {
            let (left, right) = (translate(a, scope)?, translate(b, scope)?);
            let ty = left.1;
            let (same, _) = compare(left.clone(), Operator::Equals, right)?;
            Ok((format!("(case when {same} then null else {} end)", left.0), ty))
        }
        ("json_extract", [json, path]) => arrow(json, true, path, scope),
        ("typeof", [one]) => type_of(translate(one, scope)?),
        ("json_valid", [one]) => match translate(one, scope)? {
            (sql, Ty::Json) => Ok((format!("(case when {sql} is null then null else true end)"), Ty::Bool)),
            (sql, _) => Err(format!("json_valid of {sql}")),
        },
        ("count" | "sum" | "total" | "avg" | "group_concat", _) | ("min" | "max", [_]) => {
            aggregate(&name, args, distinct, scope)
        }
        _ => {
            let typed: Vec<(String, Ty)> = args.iter().map(|a| translate(a, scope)).collect::<Answer<_>>()?;
            plain(&name, typed)
        }
    }
}

fn plain(name: &str, args: Vec<(String, Ty)>) -> Answer {
    let unknown = || format!("the function {name}");
    match (name, args.as_slice()) {
        ("coalesce" | "ifnull", [_, _, ..]) => {
            let (results, ty) = alike(args)?;
            Ok((format!("coalesce({})", results.join(", ")), ty))
        }
        ("min" | "max", [_, _, ..]) => extreme(name, args),
        ("abs", [one]) => as_number(one.clone()).map(|(sql, ty)| (format!("abs({sql})"), ty)),
        ("round", [one]) => rounded(one, "0"),
        ("round", [one, (digits, Ty::Int)]) => rounded(one, digits),
        ("length", [(sql, Ty::Bytes)]) | ("octet_length", [(sql, Ty::Bytes)]) => {
            Ok((format!("octet_length({sql})"), Ty::Int))
        }
        ("length", [one]) => Ok((format!("length({})", as_text(one.clone())?), Ty::Int)),
        ("hex", [(sql, Ty::Bytes)]) => Ok((format!("upper(encode({sql}, 'hex'))"), Ty::Text)),
        ("unicode", [(sql, ty)]) if ty.is_text() => Ok((format!("ascii({sql})"), Ty::Int)),
        ("char", [(sql, Ty::Int)]) => Ok((format!("chr({sql}::int)"), Ty::Text)),
        ("lower" | "upper", [one]) => {
            Ok((format!("{name}({} collate \"C\")", as_text(one.clone())?), Ty::Text))
        }
        ("trim" | "ltrim" | "rtrim", [one]) => {
            Ok((format!("{}({}, ' ')", trim(name), as_text(one.clone())?), Ty::Text))
        }
        ("trim" | "ltrim" | "rtrim", [one, what]) => {
            let (text, set) = (as_text(one.clone())?, as_text(what.clone())?);
            Ok((format!("{}({text}, {set})", trim(name)), Ty::Text))
        }
        ("instr", [a, b]) => {
            Ok((format!("strpos({}, {})", as_text(a.clone())?, as_text(b.clone())?), Ty::Int))
        }
        ("replace", [a, b, c]) => {
            let (a, b, c) = (as_text(a.clone())?, as_text(b.clone())?, as_text(c.clone())?);
            Ok((format!("replace({a}, {b}, {c})"), Ty::Text))
        }
        ("substr" | "substring", [text, (from, Ty::Int), rest @ ..]) => substr(text, from, rest),
        ("likely" | "unlikely", [one]) => Ok(one.clone()),
        ("sqrt" | "ln" | "exp" | "sin" | "cos" | "pi" | "radians" | "degrees", _) => {
            let list: Vec<String> = args
                .iter()
                .map(|a| as_number(a.clone()).map(|(s, _)| format!("({s})::float8")))
                .collect::<Answer<_>>()?;
            Ok((format!("{name}({})", list.join(", ")), Ty::Float))
        }
        ("floor" | "ceil" | "ceiling", [one]) => {
            as_number(one.clone()).map(|(sql, ty)| (format!("{name}({sql})"), ty))
        }
        _ => Err(unknown()),
    }
}

fn trim(name: &str) -> &str {
    if name == "trim" { "btrim" } else { name }
}

/// SQLite's min and max of several are NULL when one is; least and greatest are not.
fn extreme(name: &str, args: Vec<(String, Ty)>) -> Answer {
    let word = if name == "min" { "least" } else { "greatest" };
    let (list, ty) = alike(args)?;
    if ty.is_text() {
        return Err(format!("{name} of texts"));
    }
    let nulls: Vec<String> = list.iter().map(|a| format!("{a} is null")).collect();
    Ok((format!("(case when {} then null else {word}({}) end)", nulls.join(" or "), list.join(", ")), ty))
}

fn rounded(one: &(String, Ty), digits: &str) -> Answer {
    let (sql, _) = as_number(one.clone())?;
    Ok((format!("round(({sql})::numeric, {digits})::float8"), Ty::Float))
}

fn substr(text: &(String, Ty), from: &str, rest: &[(String, Ty)]) -> Answer {
    let text = as_text(text.clone())?;
    let positive = from.parse::<i64>().is_ok_and(|n| n > 0);
    let negative = from
        .trim_start_matches("(-")
        .trim_end_matches(')')
        .parse::<i64>()
        .ok()
        .filter(|_| from.starts_with("(-"));
    match (rest, negative) {
        ([], _) if positive => Ok((format!("substr({text}, {from})"), Ty::Text)),
        ([(len, Ty::Int)], _) if positive && len.parse::<i64>().is_ok_and(|n| n >= 0) => {
            Ok((format!("substr({text}, {from}, {len})"), Ty::Text))
        }
        ([], Some(n)) => Ok((format!("right({text}, {n})"), Ty::Text)),
        _ => Err("substr with computed places".into()),
    }
}

/// The class that SQLite knew is the type that PostgreSQL has.
fn type_of((sql, ty): (String, Ty)) -> Answer {
    let class = match ty {
        Ty::Int => "integer",
        Ty::Float => "real",
        Ty::Text | Ty::NoCase => "text",
        Ty::Bytes => "blob",
        _ => return Err(format!("typeof({sql})")),
    };
    Ok((format!("(case when {sql} is null then 'null' else '{class}' end)"), Ty::Text))
}

/// `json -> path` and `json ->> path`, `json_extract(json, path)`.
///
/// # Errors
/// A path that is no plain one.
pub(crate) fn arrow(json: &Expr<'_>, text: bool, path: &Expr<'_>, scope: &Scope<'_>) -> Answer {
    let (json, ty) = translate(json, scope)?;
    let (path, path_ty) = translate(path, scope)?;
    if !matches!(ty, Ty::Json | Ty::Text) || !path_ty.is_text() {
        return Err(format!("JSON of {json}"));
    }
    let keys = steps(path.trim_matches('\'')).ok_or_else(|| format!("the path {path}"))?;
    let (op, ty) = if text { ("#>>", Ty::Text) } else { ("#>", Ty::Json) };
    Ok((format!("(({json})::jsonb {op} {})", literal(&format!("{{{}}}", keys.join(",")))), ty))
}

/// `$.a.b[0]` or a bare key.
fn steps(path: &str) -> Option<Vec<String>> {
    let fine =
        |key: &&str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let Some(rest) = path.strip_prefix('$') else {
        return Some(vec![path.to_string()]).filter(|_| fine(&path));
    };
    let parts = rest.replace('[', ".").replace(']', "");
    let keys: Vec<&str> = parts.strip_prefix('.')?.split('.').collect();
    keys.iter().all(fine).then(|| keys.iter().map(ToString::to_string).collect())
}

fn aggregate(name: &str, args: &[Expr<'_>], distinct: bool, scope: &Scope<'_>) -> Answer {
    let [first, rest @ ..] = args else { return Ok(("count(*)".into(), Ty::Int)) };
    let (sql, ty) = translate(first, scope)?;
    let distinct = if distinct { "distinct " } else { "" };
    match name {
        "count" => Ok((format!("count({distinct}{sql})"), Ty::Int)),
        "sum" if ty == Ty::Int => Ok((format!("sum({distinct}{sql})::bigint"), Ty::Int)),
        "sum" | "total" | "avg" => {
            let (sql, _) = as_number((sql, ty))?;
            let word = if name == "avg" { "avg" } else { "sum" };
            let call = format!("{word}({distinct}({sql})::float8)");
            Ok((if name == "total" { format!("coalesce({call}, 0)") } else { call }, Ty::Float))
        }
        "min" | "max" if ty.is_text() => Ok((format!("{name}({sql} collate \"C\")"), Ty::Text)),
        "min" | "max" if ty.is_number() || ty.is_time() => Ok((format!("{name}({sql})"), ty)),
        "min" | "max" if ty == Ty::Bool => Ok((format!("{name}(({sql})::int)"), Ty::Int)),
        "group_concat" => {
            let separator = match rest {
                [one] => translate(one, scope)?.0,
                _ => "','".into(),
            };
            Ok((format!("string_agg({distinct}{}, {separator})", as_text((sql, ty))?), Ty::Text))
        }
        _ => Err(format!("{name} of {sql}")),
    }
}

/// What is random has no value to compare, only a form.
fn random(name: &str, args: &[Expr<'_>]) -> Option<(String, Ty)> {
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
        ("random", []) => {
            Some(("(('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint)".into(), Ty::Int))
        }
        ("randomblob", [n]) => {
            let n = n.parse().ok().filter(|n| (1..=16).contains(n))?;
            Some((format!("decode({}, 'hex')", digits(n)), Ty::Bytes))
        }
        ("hex", [call]) => bytes(call).map(|n| (format!("upper({})", digits(n)), Ty::Text)),
        _ => None,
    }
}
