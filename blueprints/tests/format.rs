//! `forge fmt`: what the layout is, and that it never changes what a document says.

mod setup;

use forge_blueprints::format::{Refused, format};
use forge_blueprints::yaml::{Data, Node, comments, parse};
use forge_engine::diag::DocumentId;
use forge_engine::value::Value;
use proptest::prelude::*;

fn formatted(text: &str) -> String {
    format(DocumentId(0), text).unwrap_or_else(|refused| panic!("{refused:?}\n{text}"))
}

fn value(text: &str) -> Value {
    let (node, findings) = parse(DocumentId(0), text);
    assert_eq!(findings, [], "{text}");
    node.as_ref().map(Node::to_value).expect("a tree")
}

#[test]
fn a_document_in_every_style() {
    let text = include_str!("unformatted.yaml");
    let ours = formatted(text);
    assert_eq!(formatted(&ours), ours);
    insta::assert_snapshot!(ours);
}

#[test]
fn small_things() {
    let cases = [
        ("", ""),
        ("\n\n", ""),
        ("# only a comment", "# only a comment\n"),
        ("a:    1", "a: 1\n"),
        ("a: 1\r\nb:\r\n- x\r\n", "a: 1\nb:\n  - x\n"),
        ("\u{feff}a: 1\n\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"),
        ("{a: 1,b: [x,y,],\"c\":{}}", "{ a: 1, b: [x, y], \"c\": {} }\n"),
        (
            "a:\n    b:\n        c: 1\n        # end of b\n    # end of a\n# of d\nd:\n",
            "a:\n  b:\n    c: 1\n    # end of b\n  # end of a\n# of d\nd:\n",
        ),
        ("a:\n    # nothing: yet\nb: 1\n", "a:\n  # nothing: yet\nb: 1\n"),
        ("-   - 1\n    - 2\n-\n  - 3\n- a: 1\n  b: 2\n-\n", "- - 1\n  - 2\n- - 3\n- a: 1\n  b: 2\n-\n"),
        ("a: # of a\n  1\nb: # of b\n  c: 1\n- x", ""),
        ("a:   # of a\n   1\nb:    # of b\n   c: 1\n", "a: # of a\n  1\nb: # of b\n  c: 1\n"),
        ("a: [ # one\n1,\n   # own\n2 , # two\n 3\n]\n", "a: [ # one\n    1,\n    # own\n    2, # two\n    3\n  ]\n"),
        ("c: [python, train.py,\n        --steps, '5']\n", "c: [python, train.py,\n  --steps, '5']\n"),
        ("a: [{\nb: 1,\n}]", "a: [{\n    b: 1,\n  }]\n"),
        (
            "a: |\n       x\n         y\n\n       z\n\n\n\nb: >-   # folded\n so\n\n   so\n",
            "a: |\n  x\n    y\n\n  z\n\nb: >- # folded\n  so\n\n    so\n",
        ),
        ("a:\n  b: |+\n      x\n\n\n  # c\n  d: 1\n", "a:\n  b: |+\n    x\n\n\n  # c\n  d: 1\n"),
        ("a: |4\n      x\n    y\n", "a: |2\n    x\n  y\n"),
        ("a: \"x\n\n     y\\ \n   z\"   \nb: one\n   two\n", "a: \"x\n\n  y\\ \n  z\"\nb: one\n  two\n"),
        ("--- # first\na: 1\n...\n# last\n", "--- # first\na: 1\n# last\n"),
        ("? a\n: 1\n? b\n", "a: 1\nb:\n"),
        ("a: [b: c, {d}]\n", "a: [b: c, { d: }]\n"),
    ];
    for (text, wanted) in cases {
        match format(DocumentId(0), text) {
            Ok(ours) => assert_eq!(ours, wanted, "{text:?}"),
            Err(refused) => assert!(wanted.is_empty(), "{text:?}: {refused:?}"),
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (text, id) in [
        ("a: [", "yaml-syntax"),
        ("a: 1\na: 2\n", "duplicate-key"),
        ("a: &x 1\n", "yaml-anchor"),
        ("%YAML 1.2\n---\na: 1\n", "format-unsupported"),
        (": 1\n", "format-unsupported"),
    ] {
        match format(DocumentId(0), text) {
            Err(Refused::Findings(findings)) => assert_eq!(findings[0].id, id, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn what_forge_ships_is_formatted() {
    for module in setup::MODULES {
        assert_eq!(formatted(module.text), module.text, "{}: run forge fmt on it", module.document);
    }
}

/// A tree to be written in one of many ways.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(String),
    /// A block scalar: header, lines.
    Block(&'static str, Vec<String>),
    List(Vec<Tree>),
    Map(Vec<Tree>),
}

/// Scalars without a line break.
fn inline() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}( [a-z]{1,3})?",
        Just(String::new()),
        Just("~".to_owned()),
        "-?[0-9]{1,4}(\\.[0-9])?",
        "'[a-z #:,{\\[|-]{0,8}'",
        "\"[a-z #:,{}\\[|é-]{0,8}\"",
        Just("\"\\t\\\\\"".to_owned()),
        Just("${vars.a}".to_owned()).prop_map(|text| format!("\"{text}\"")),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let lines = proptest::collection::vec("( {0,2}[a-z#:-]{1,5} ?)|", 0..4);
    let header = prop_oneof![Just("|"), Just(">"), Just("|-"), Just(">-"), Just("|+"), Just(">+")];
    let leaf = prop_oneof![
        4 => inline().prop_map(Tree::Scalar),
        1 => (header, lines).prop_map(|(header, lines)| Tree::Block(header, lines)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Tree::List),
            proptest::collection::vec(inner, 1..4).prop_map(Tree::Map),
        ]
    })
}

/// Writes a tree badly: every choice of space, comment and style comes from `noise`.
struct Scribe<'a> {
    noise: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    comments: usize,
    out: String,
}

impl Scribe<'_> {
    fn chance(&mut self, of: u8) -> u8 {
        self.noise.next().copied().unwrap_or_default() % of
    }

    fn blanks(&mut self) {
        let count = 1 + usize::from(self.chance(3));
        self.out.push_str(&" ".repeat(count));
    }

    fn comment(&mut self) {
        self.comments += 1;
        self.out.push_str(&format!("# {} '\"[{{: #", self.comments));
    }

    fn end_line(&mut self) {
        match self.chance(6) {
            0 => {
                self.blanks();
                self.comment();
            }
            1 => self.blanks(),
            _ => {}
        }
        self.out.push('\n');
        match self.chance(5) {
            0 => self.out.push_str("\n\n"),
            1 => {
                let indent = usize::from(self.chance(9));
                self.out.push_str(&" ".repeat(indent));
                self.comment();
                self.out.push('\n');
            }
            _ => {}
        }
    }

    fn flow_break(&mut self, indent: usize) {
        match self.chance(4) {
            0 => self.out.push_str(&format!("\n{}", " ".repeat(indent))),
            1 => {
                self.out.push(' ');
                self.comment();
                self.out.push_str(&format!("\n{}", " ".repeat(indent)));
            }
            _ => {}
        }
    }

    fn flow(&mut self, tree: &Tree, indent: usize) {
        let (open, close, items) = match tree {
            Tree::Scalar(text) if text.is_empty() => return self.out.push_str("''"),
            Tree::Scalar(text) => return self.out.push_str(text),
            Tree::Block(_, lines) => return self.out.push_str(&format!("'{}'", lines.join(" "))),
            Tree::List(items) => ('[', ']', items),
            Tree::Map(items) => ('{', '}', items),
        };
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.flow_break(indent);
            if open == '{' {
                self.out.push_str(&format!("k{index}:"));
                self.blanks();
            }
            self.flow(item, indent);
        }
        if self.chance(3) == 0 {
            self.out.push(',');
        }
        self.flow_break(indent);
        self.out.push(close);
    }

    fn value(&mut self, tree: &Tree, indent: usize) {
        let flow = matches!(tree, Tree::List(_) | Tree::Map(_)) && self.chance(3) == 0;
        let deeper = indent + 1 + usize::from(self.chance(4));
        match tree {
            Tree::Scalar(text) if text.is_empty() => self.end_line(),
            Tree::Scalar(text) => {
                self.blanks();
                self.out.push_str(text);
                self.end_line();
            }
            Tree::Block(header, lines) => {
                self.out.push(' ');
                self.out.push_str(header);
                // Lines that begin with blanks could be taken for the indentation.
                let first = lines.iter().find(|line| !line.trim().is_empty());
                if first.is_some_and(|line| line.starts_with(' ')) {
                    self.out.push_str(&(deeper - indent).to_string());
                }
                self.out.push('\n');
                for line in lines {
                    let pad = if line.is_empty() { 0 } else { deeper };
                    self.out.push_str(&format!("{}{line}\n", " ".repeat(pad)));
                }
            }
            _ if flow => {
                self.blanks();
                self.flow(tree, deeper);
                self.end_line();
            }
            _ => {
                self.end_line();
                self.block(tree, deeper);
            }
        }
    }

    fn block(&mut self, tree: &Tree, indent: usize) {
        let (items, is_map) = match tree {
            Tree::List(items) => (items, false),
            Tree::Map(items) => (items, true),
            _ => return,
        };
        for (index, item) in items.iter().enumerate() {
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str(&if is_map { format!("k{index}:") } else { "-".to_owned() });
            self.value(item, indent);
        }
    }
}

fn scribbled(tree: &Tree, noise: &[u8]) -> String {
    let mut scribe = Scribe { noise: noise.iter().cycle(), comments: 0, out: String::new() };
    match tree {
        Tree::List(_) | Tree::Map(_) => scribe.block(tree, 0),
        _ => scribe.block(&Tree::List(vec![tree.clone()]), 0),
    }
    scribe.out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_layout_changes_nothing_but_space(tree in tree(), noise in proptest::collection::vec(any::<u8>(), 1..60)) {
        let text = scribbled(&tree, &noise);
        let (node, findings) = parse(DocumentId(0), &text);
        // A comment that stands deeper than a block scalar's lines is one of its lines to YAML, or an error.
        prop_assume!(node.is_some() && findings.is_empty());
        let ours = format(DocumentId(0), &text);
        let Ok(ours) = ours else { return Err(TestCaseError::fail(format!("{ours:?}\n{text}"))) };
        prop_assert_eq!(value(&ours), value(&text));
        prop_assert_eq!(comments(&ours), comments(&text));
        prop_assert_eq!(format(DocumentId(0), &ours), Ok(ours.clone()), "{}", text);
        let tidy = |line: &str| !line.ends_with(' ') || line.trim_end().ends_with(|c: char| c.is_ascii_lowercase() || c == '-' || c == ':' || c == '#');
        prop_assert!(ours.lines().all(tidy), "{}", ours);
    }

    #[test]
    fn any_text_is_refused_or_kept(text in "(a|b|- |: |[:\\[\\]{}\"',#|>~-]|\\n|\\n  |  |\t|é){0,40}") {
        match format(DocumentId(0), &text) {
            Ok(ours) => {
                prop_assert_eq!(value(&ours), value(&text));
                prop_assert_eq!(format(DocumentId(0), &ours), Ok(ours), "{:?}", text);
            }
            Err(Refused::Findings(findings)) => prop_assert!(!findings.is_empty()),
            Err(Refused::Damaged(why)) => return Err(TestCaseError::fail(format!("{why}: {text:?}"))),
        }
    }
}

#[test]
fn order_is_kept() {
    let (node, _) = parse(DocumentId(0), &formatted("b: 1\na:   2\n"));
    let Data::Map(entries) = node.unwrap().data else { panic!() };
    assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}
