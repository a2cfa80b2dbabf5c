//! The names that an expression refers to, read from its syntax tree.
//!
//! A reference is as long as its text is certain: `network.subnets[0].id` refers to `network.subnets`, and
//! `vars.sizes['large']` to `vars.sizes.large`. Every part of an expression counts, whether evaluation will reach it or
//! not. The engine has a function for this, but it leaves out what stands before the brackets of a slice.

use minijinja::machinery::ast::{CallArg, Expr};
use minijinja::machinery::parse_expr;
use std::collections::BTreeSet;

/// The dotted names in an expression, functions included; none when it does not parse.
pub(crate) fn mentions(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(expression) = parse_expr(source) {
        walk(&expression, &mut found);
    }
    found
}

fn walk(expression: &Expr<'_>, found: &mut BTreeSet<String>) {
    if let Some(name) = dotted(expression) {
        found.insert(name);
        return;
    }
    match expression {
        Expr::Var(_) | Expr::Const(_) => {}
        Expr::Slice(slice) => {
            walk(&slice.expr, found);
            optional([&slice.start, &slice.stop, &slice.step], found);
        }
        Expr::UnaryOp(operation) => walk(&operation.expr, found),
        Expr::BinOp(operation) => {
            walk(&operation.left, found);
            walk(&operation.right, found);
        }
        Expr::Compare(comparison) => {
            walk(&comparison.expr, found);
            comparison.ops.iter().for_each(|next| walk(&next.expr, found));
        }
        Expr::IfExpr(choice) => {
            walk(&choice.test_expr, found);
            walk(&choice.true_expr, found);
            optional([&choice.false_expr], found);
        }
        Expr::Filter(filter) => {
            match &filter.expr {
                Some(value) if matches!(filter.name, "default" | "d") => absent(value, found),
                value => optional([value], found),
            }
            arguments(&filter.args, found);
        }
        Expr::Test(test) => {
            match test.name {
                "defined" | "undefined" => absent(&test.expr, found),
                _ => walk(&test.expr, found),
            }
            arguments(&test.args, found);
        }
        Expr::GetAttr(part) => walk(&part.expr, found),
        Expr::GetItem(item) => {
            walk(&item.expr, found);
            walk(&item.subscript_expr, found);
        }
        Expr::Call(call) => {
            walk(&call.expr, found);
            arguments(&call.args, found);
        }
        Expr::List(list) => list.items.iter().for_each(|item| walk(item, found)),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| walk(item, found)),
        Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|item| walk(item, found)),
    }
}

fn optional<'e, const N: usize>(parts: [&Option<Expr<'e>>; N], found: &mut BTreeSet<String>) {
    parts.into_iter().flatten().for_each(|part| walk(part, found));
}

fn arguments(arguments: &[CallArg<'_>], found: &mut BTreeSet<String>) {
    for argument in arguments {
        let (CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value)) =
            argument;
        walk(value, found);
    }
}

/// A value that may be absent: with a key in brackets it says so.
fn absent(expression: &Expr<'_>, found: &mut BTreeSet<String>) {
    match expression {
        Expr::GetItem(item) => {
            walk(&item.expr, found);
            walk(&item.subscript_expr, found);
        }
        _ => walk(expression, found),
    }
}

/// The name that an expression is as a whole.
fn dotted(expression: &Expr<'_>) -> Option<String> {
    match expression {
        Expr::Var(name) => Some(name.id.to_owned()),
        Expr::GetAttr(part) => Some(format!("{}.{}", dotted(&part.expr)?, part.name)),
        Expr::GetItem(item) => {
            let Expr::Const(key) = &item.subscript_expr else { return None };
            // A dot in the key would read as two steps.
            let key = key.value.as_str().filter(|key| !key.contains('.'))?;
            Some(format!("{}.{key}", dotted(&item.expr)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_expression_counts() {
        let table: &[(&str, &[&str])] = &[
            ("a", &["a"]),
            ("a.b.c", &["a.b.c"]),
            ("(a, b)", &["a", "b"]),
            ("a[b]", &["a", "b"]),
            ("a.b[c.d].e", &["a.b", "c.d"]),
            ("a[0].b", &["a"]),
            ("a.0.b", &["a"]),
            ("a['b']", &["a.b"]),
            ("a['b'].c[\"d\"]", &["a.b.c.d"]),
            ("a['b.c']", &["a"]),
            ("a[b ~ 'c']", &["a", "b"]),
            ("a[:3]", &["a"]),
            ("a.b[c:d.e:f]", &["a.b", "c", "d.e", "f"]),
            ("a[:3].b[1:]", &["a"]),
            ("(a if b else c)[d:]", &["a", "b", "c", "d"]),
            ("a | f(b[:1], k=c[1:])", &["a", "b", "c"]),
            ("a[:1] | f", &["a"]),
            ("a is divisibleby(b)", &["a", "b"]),
            ("a[b:] is divisibleby b", &["a", "b"]),
            ("a is not defined", &["a"]),
            ("a['b'] is defined", &["a"]),
            ("a['b'].c is defined", &["a.b.c"]),
            ("a['b'] | default(c['d'])", &["a", "c.d"]),
            ("a[b['c']] | d(1)", &["a", "b.c"]),
            ("f(a, k=b.c, *d, **e)", &["a", "b.c", "d", "e", "f"]),
            ("a.f(b)", &["a.f", "b"]),
            ("a if b.c else (d if e else f)", &["a", "b.c", "d", "e", "f"]),
            ("a if b", &["a", "b"]),
            ("a < b < c == d", &["a", "b", "c", "d"]),
            ("not a and -b or c in d", &["a", "b", "c", "d"]),
            ("a ~ b + c * d // e ** g % h", &["a", "b", "c", "d", "e", "g", "h"]),
            ("[a, [b, (c, d)]]", &["a", "b", "c", "d"]),
            ("{a: b, 'k': {'l': c.d}}", &["a", "b", "c.d"]),
            ("{'k': a}.k", &["a"]),
            ("[a][0].b", &["a"]),
            ("(a | f).b", &["a"]),
            ("a.b + a.b", &["a.b"]),
            ("'a.b' ~ 3", &[]),
            ("a +", &[]),
        ];
        for (source, wanted) in table {
            assert_eq!(mentions(source).iter().map(String::as_str).collect::<Vec<_>>(), *wanted, "{source}");
        }
    }
}
