//! How deep expressions may be. The engine reads and frees them recursively and bounds neither chains of
//! operators nor of `elif`; one that is too deep would end the process, so it is refused before.

/// Operators in one expression, words such as `and` included.
const OPERATORS: usize = 250;
/// Brackets within brackets.
const NESTING: isize = 32;
/// Blocks such as `{% if %}` in one template, their ends included.
const BLOCKS: usize = 100;

/// Operators that are written as words.
const WORDS: [&[u8]; 7] = [b"and", b"or", b"not", b"in", b"is", b"if", b"else"];

/// Why `text`, an expression, may not be read.
pub(super) fn of_expression(text: &str) -> Result<(), String> {
    code(text.as_bytes(), 0, None).map(drop)
}

/// Why `text`, a template, may not be read.
pub(super) fn of_template(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let (mut at, mut blocks) = (0, 0);
    while let Some((start, mark)) = next_tag(bytes, at) {
        let end = match mark {
            b'#' => find(bytes, start, b"#}"),
            b'{' => code(bytes, start, Some(b"}}"))?,
            _ => {
                blocks += 1;
                block(bytes, start, blocks)?
            }
        };
        match end {
            Some(end) => at = end,
            None => break,
        }
    }
    Ok(())
}

fn block(bytes: &[u8], start: usize, blocks: usize) -> Result<Option<usize>, String> {
    let blank = |byte: &&u8| matches!(byte, b'-' | b'+') || byte.is_ascii_whitespace();
    let begins = bytes[start..].iter().take_while(blank).count();
    if bytes[start + begins..].starts_with(b"raw") {
        return Err("there are no raw blocks; braces are written {{ \"{{\" }}".to_owned());
    }
    if blocks > BLOCKS {
        return Err(format!("it has more than {BLOCKS} blocks"));
    }
    code(bytes, start, Some(b"%}"))
}

/// What stands behind the next mark of a tag, and the second character of that mark.
fn next_tag(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    let mut pairs = bytes[from..].windows(2).enumerate();
    let found = pairs.find(|(_, pair)| pair[0] == b'{' && b"{%#".contains(&pair[1]));
    found.map(|(offset, pair)| (from + offset + 2, pair[1]))
}

/// Where `what` ends for the first time.
fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let found = bytes[from..].windows(what.len()).position(|window| window == what);
    found.map(|offset| from + offset + what.len())
}

/// Passes over code to behind `close`, which as for the engine stands neither in a string nor in brackets.
fn code(bytes: &[u8], from: usize, close: Option<&[u8]>) -> Result<Option<usize>, String> {
    let (mut at, mut operators, mut nesting) = (from, 0, 0);
    while at < bytes.len() {
        let closing = close.filter(|close| nesting == 0 && bytes[at..].starts_with(close));
        if let Some(close) = closing {
            return Ok(Some(at + close.len()));
        }
        let end = token_end(bytes, at);
        match bytes[at] {
            b'(' | b'[' | b'{' => nesting += 1,
            b')' | b']' | b'}' => nesting -= 1,
            _ => operators += usize::from(is_operator(&bytes[at..end])),
        }
        if operators > OPERATORS {
            return Err(format!("it has more than {OPERATORS} operators"));
        }
        if nesting > NESTING {
            return Err(format!("its brackets are more than {NESTING} deep"));
        }
        at = end;
    }
    Ok(None)
}

fn token_end(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        quote @ (b'\'' | b'"') => string_end(bytes, at + 1, quote),
        first if is_in_word(first) => {
            at + bytes[at..].iter().take_while(|byte| is_in_word(**byte)).count()
        }
        _ => at + 1,
    }
}

fn string_end(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn is_operator(token: &[u8]) -> bool {
    WORDS.contains(&token) || matches!(token, [one] if b"+-*/%~.|<>=!".contains(one))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::expression::{ExpressionError, evaluate, of_expression, of_template, render_text};

    fn refused(found: Result<crate::expression::References, ExpressionError>) -> String {
        found.unwrap_err().to_string()
    }

    #[test]
    fn an_expression_that_is_too_deep_is_refused_instead_of_overflowing_the_stack() {
        for unit in ["1+", "-", "not ", "1**", "a.", "1 if 1 else ", "1 and ", "1|e|", "1<"] {
            let text = unit.repeat(100_000) + "1";
            assert!(refused(of_expression(&text)).contains("more than 250 operators"), "{unit}");
            assert!(refused(of_template(&format!("x {{{{ {text} }}}}"))).contains("more than 250"));
        }
        for unit in ["[", "(", "{1:", "a[", "len("] {
            let text = unit.repeat(100_000);
            assert!(refused(of_expression(&text)).contains("more than 32 deep"), "{unit}");
        }
    }

    #[test]
    fn what_is_just_within_the_bounds_is_read() {
        for unit in ["1+", "-", "not ", "1 and "] {
            let text = unit.repeat(249) + "1";
            assert!(evaluate(&text, &json!({})).is_ok(), "{unit}");
        }
        let lists = format!("{}1{}", "[".repeat(32), "]".repeat(32));
        assert!(evaluate(&lists, &json!({})).is_ok());
        let chain = format!("{{% if 0 %}}{}x{{% endif %}}", "{% elif 1 %}".repeat(98));
        assert_eq!(render_text(&chain, &json!({})).unwrap(), "");
        let nested = format!("{}x{}", "{% if 1 %}".repeat(50), "{% endif %}".repeat(50));
        assert_eq!(render_text(&nested, &json!({})).unwrap(), "x");
    }

    #[test]
    fn chains_and_nests_of_blocks_are_bounded() {
        let chain = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(9999));
        assert!(refused(of_template(&chain)).contains("more than 100 blocks"));
    }

    #[test]
    fn what_a_bound_is_about_cannot_be_hidden_from_it() {
        let deep = "1+".repeat(100_000) + "1";
        for before in [
            "{% raw %}{{ \"{% endraw %}",
            "{%- raw -%}{{ '{% endraw %}",
            "{{ {1: {2: 3}} }} {{ \"}}\" +",
            "{# {{ ' #} {{ ",
            "{{ '\\'}}' ~ ",
            "{{ {1: {2: 3}}[1] + ",
        ] {
            assert!(of_template(&format!("{before}{deep} }}}}")).is_err(), "{before}");
        }
    }

    #[test]
    fn long_text_around_templates_is_no_matter() {
        let text = "a. b - c | ".repeat(10_000) + "{{ 1 }}";
        assert!(render_text(&text, &json!({})).is_ok());
        let many = "{{ 1 }}".repeat(1_000);
        assert_eq!(render_text(&many, &json!({})).unwrap().len(), 1_000);
    }
}
