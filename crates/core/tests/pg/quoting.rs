//! Names and literals come back from the server as they went in.

use super::*;
use toban_core::pg::{Ident, quote_literal};

#[test]
fn quoted_names_and_literals_come_back_unchanged() {
    let (dir, pg) = (temp(), server(&[]).start());
    let conninfo = ConnInfo::resolve_in(Some(&pg.url()), "t", &around(&[], dir.path())).expect("it resolves");
    let mut client = conninfo.connect().expect("connect");
    for conforming in ["on", "off"] {
        client.batch_execute(&format!("set standard_conforming_strings = {conforming}")).expect("set");
        for text in ["plain", "it's", "a\\b", "\\'; drop table x; --", "\"", "ö\n\t%", "\\\\", "E'x'", "$1"]
        {
            let sql = format!("select{} as {}", format_args!(" {}", quote_literal(text)), Ident::new(text));
            let row = client.simple_query(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let postgres::SimpleQueryMessage::Row(row) = &row[1] else { panic!("{sql}: {row:?}") };
            assert_eq!((row.get(0), row.columns()[0].name()), (Some(text), text), "{conforming}");
        }
    }
}
