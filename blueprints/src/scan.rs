//! Finds the `${ … }` in text.
//!
//! An expression may hold quotes and brackets of its own: `${ {"a": "}"}["a"] }` is one. `$${` stands for a literal
//! `${`; a `$` before anything else is just a dollar sign.

use std::ops::Range;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Text as it is.
    Text(&'a str),
    /// An expression: what stands between the braces, and the bytes of the whole `${…}`.
    Expression(&'a str, Range<usize>),
}

/// The parts of a text in order, or the bytes of a `${` that nothing closes.
pub(crate) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Range<usize>> {
    let mut pieces = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find("${").map(|found| at + found) {
        if text[plain..found].ends_with('$') {
            // `$${`: keep one dollar and the brace, drop the other dollar.
            pieces.push(Piece::Text(&text[plain..found]));
            plain = found + 1;
            at = found + 2;
            continue;
        }
        let end = close(text, found + 2).ok_or(found..text.len())?;
        if plain < found {
            pieces.push(Piece::Text(&text[plain..found]));
        }
        pieces.push(Piece::Expression(&text[found + 2..end], found..end + 1));
        plain = end + 1;
        at = plain;
    }
    if plain < text.len() {
        pieces.push(Piece::Text(&text[plain..]));
    }
    Ok(pieces)
}

/// Where the brace stands that closes the expression starting at `start`.
fn close(text: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (offset, c) in text[start..].char_indices() {
        if let Some(open) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == open => quote = None,
                _ => {}
            }
            continue;
        }
        match c {
            '\'' | '"' => quote = Some(c),
            '{' | '[' | '(' => depth += 1,
            '}' if depth == 0 => return Some(start + offset),
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_expressions_alternate() {
        assert_eq!(
            pieces("a ${b} c${d}"),
            Ok(vec![Piece::Text("a "), Piece::Expression("b", 2..6), Piece::Text(" c"), Piece::Expression("d", 8..12)])
        );
    }

    #[test]
    fn brackets_and_quotes_inside_belong_to_the_expression() {
        let text = r#"${ {"a": "}"}["a"] ~ '}' }"#;
        assert_eq!(pieces(text), Ok(vec![Piece::Expression(&text[2..text.len() - 1], 0..text.len())]));
        assert_eq!(pieces(r"${'\'}'}"), Ok(vec![Piece::Expression(r"'\'}'", 0..8)]));
    }

    #[test]
    fn two_dollars_are_a_literal() {
        assert_eq!(pieces("a $${b}"), Ok(vec![Piece::Text("a $"), Piece::Text("{b}")]));
        assert_eq!(pieces("5$ $x"), Ok(vec![Piece::Text("5$ $x")]));
    }

    #[test]
    fn what_nothing_closes_is_an_error() {
        assert_eq!(pieces("ab ${c"), Err(3..6));
        assert_eq!(pieces("${'}"), Err(0..4));
    }
}
