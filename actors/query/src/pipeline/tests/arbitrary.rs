//! Whatever is read, nothing panics, and what is accepted can be done.

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::explain::{NodeBounds, explain};
use crate::inputs::bind;

/// What a reader can trip over.
const PIECES: [&str; 40] = [
    "name",
    "steps",
    "id",
    "tool",
    "value",
    "each",
    "while",
    "if",
    "needs",
    "retry",
    "on_failure",
    "fallback",
    "inputs",
    "outputs",
    "answer",
    "read_file",
    "generate",
    "arguments",
    "path",
    "{{",
    "}}",
    "{%",
    "%}",
    "steps.a.result",
    "item",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "&x ",
    "*x",
    "|\n",
    "#",
    "é",
];

/// Reads `text`, and does with what is accepted all that can be done without doing it.
fn use_it(text: &str) {
    match read(text, &catalogue()) {
        Ok(compiled) => {
            assert!(compiled.warnings.iter().all(|finding| !finding.is_error()));
            assert_eq!(compiled.graph, Graph::of(&compiled.plan).unwrap());
            let explanation =
                explain(&compiled, &catalogue(), &NodeBounds::from(&Config::default()));
            assert!(!explanation.to_string().is_empty());
            drop(bind(&compiled.plan, &json!({})));
        }
        Err(findings) => {
            assert!(findings.iter().any(Finding::is_error), "{text}");
            for finding in findings {
                let there = finding.line.is_none_or(|line| line <= text.lines().count() + 1);
                assert!(there, "{finding} is not in {text:?}");
            }
        }
    }
}

fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..40_usize, 0..PIECES.len());
    prop::collection::vec(change, 1..6).prop_map(|changes| {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, removed, inserted) in changes {
            let at = at.index(text.len());
            let end = text.len().min(at + removed % 12);
            // Every third change only removes.
            let inserted = if removed % 3 == 0 { "" } else { PIECES[inserted] };
            text.splice(at..end, inserted.chars());
        }
        text.into_iter().collect()
    })
}

/// The document with some of its lines taken out, doubled or exchanged.
fn shuffled() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3_u8);
    prop::collection::vec(change, 1..6).prop_map(|changes| {
        let mut lines: Vec<&str> = WHOLE.lines().collect();
        for (one, other, change) in changes {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            match change {
                0 => drop(lines.remove(one)),
                1 => lines.insert(other, lines[one]),
                _ => lines.swap(one, other),
            }
        }
        lines.join("\n")
    })
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        use_it(&text);
    }

    #[test]
    fn text_of_all_that_means_something_never_panics(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..60)
    ) {
        use_it(&pieces.concat());
    }

    #[test]
    fn a_document_with_errors_in_it_never_panics(text in mutated()) {
        use_it(&text);
    }

    #[test]
    fn a_document_with_its_lines_in_disorder_never_panics(text in shuffled()) {
        use_it(&text);
    }

    #[test]
    fn a_plan_without_findings_has_an_order(
        texts in prop::collection::vec("(\\{\\{ )?(steps|inputs)?[.a-c]{0,3}(.result)?( \\}\\})?", 1..4)
    ) {
        let steps = texts.iter().enumerate().map(|(at, text)| {
            let id = char::from(b'a' + u8::try_from(at).unwrap()).to_string();
            crate::plan::Step::new(id, Work::Value(Json(json!(text))))
        });
        let plan = Plan { steps: steps.collect(), ..Plan::default() };
        let refused = check::check(&plan, &catalogue()).iter().any(Finding::is_error);
        prop_assert!(refused || Graph::of(&plan).is_ok());
        prop_assert!(!refused || compile_plan(plan, &catalogue()).is_err());
    }
}
