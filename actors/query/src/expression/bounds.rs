//! How deep expressions may be, and how much they may make of what they are given. The engine reads and frees
//! them recursively and bounds neither chains of operators nor of `elif`; and a value that is joined with
//! itself again and again is soon larger than any memory. Either would end the process, so it is refused before.

/// Operators in one expression, words such as `and` included.
const OPERATORS: usize = 250;
/// Brackets within brackets.
const NESTING: isize = 32;
/// Blocks such as `{% if %}` in one template, their ends included.
const BLOCKS: usize = 100;

/// Words, values and signs in one expression.
const TOKENS: usize = 2_000;
/// `*` in one expression, each of which may repeat text.
const TIMES: usize = 16;
/// By so much at most one thing is multiplied where text is joined.
const FEW: u32 = 100;
/// Brackets around a `~`: a list is text with quotes, and each of those is longer in the next text.
const JOINED_WITHIN: isize = 4;
/// `{% for %}` within each other, and what may stand between the things that one goes through: the names that
/// they give are the only ones by which a value is joined with itself.
const LOOPS: usize = 3;
const LISTED: usize = 8;

/// Blocks that there are. Others would keep values under names of their own.
const KNOWN: [&[u8]; 6] = [b"if", b"elif", b"else", b"endif", b"for", b"endfor"];

/// Operators that are written as words.
const WORDS: [&[u8]; 7] = [b"and", b"or", b"not", b"in", b"is", b"if", b"else"];

/// Why `text`, an expression, may not be read.
pub(super) fn of_expression(text: &str) -> Result<(), String> {
    code(text.as_bytes(), 0, None, &mut Tally::default()).map(drop)
}

/// Why `text`, a template, may not be read.
pub(super) fn of_template(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    let (mut at, mut blocks) = (0, Blocks::default());
    while let Some((start, mark)) = next_tag(bytes, at) {
        let end = match mark {
            b'#' => find(bytes, start, b"#}"),
            b'{' => code(bytes, start, Some(b"}}"), &mut Tally::default())?,
            _ => blocks.add(bytes, start)?,
        };
        match end {
            Some(end) => at = end,
            None => break,
        }
    }
    Ok(())
}

/// The blocks of a template so far.
#[derive(Default)]
struct Blocks {
    all: usize,
    /// Those that are open and go through something.
    loops: usize,
}

impl Blocks {
    /// Takes in the block whose code begins at `start`, and tells where it ends.
    fn add(&mut self, bytes: &[u8], start: usize) -> Result<Option<usize>, String> {
        let blank = |byte: &&u8| matches!(byte, b'-' | b'+') || byte.is_ascii_whitespace();
        let begins = start + bytes[start..].iter().take_while(blank).count();
        let length = bytes[begins..].iter().take_while(|byte| is_in_word(**byte)).count();
        let word = &bytes[begins..begins + length];
        if word.starts_with(b"raw") {
            return Err("there are no raw blocks; braces are written {{ \"{{\" }}".to_owned());
        }
        self.all += 1;
        if self.all > BLOCKS {
            return Err(format!("it has more than {BLOCKS} blocks"));
        }
        if !KNOWN.contains(&word) {
            let word = String::from_utf8_lossy(word);
            return Err(format!(
                "there is no block `{word}`, only if, elif, else and for; a value is kept by a step of its own"
            ));
        }
        let mut tally = Tally::default();
        let end = code(bytes, start, Some(b"%}"), &mut tally)?;
        match word {
            b"for" => self.enter(&tally)?,
            b"endfor" => self.loops = self.loops.saturating_sub(1),
            _ => {}
        }
        Ok(end)
    }

    fn enter(&mut self, tally: &Tally) -> Result<(), String> {
        self.loops += 1;
        if self.loops > LOOPS {
            return Err(format!("more than {LOOPS} `for` stand in each other"));
        }
        if tally.joined + tally.times > 0 || tally.recursive {
            return Err(
                "a `for` goes through what is there, without `~`, `*` or `recursive`".to_owned()
            );
        }
        if tally.listed > LISTED {
            return Err(format!("a `for` has more than {LISTED} commas and `+`; name a list"));
        }
        Ok(())
    }
}

/// What stands behind the next mark of a tag, and the second character of that mark.
pub(super) fn next_tag(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    let mut pairs = bytes[from..].windows(2).enumerate();
    let found = pairs.find(|(_, pair)| pair[0] == b'{' && b"{%#".contains(&pair[1]));
    found.map(|(offset, pair)| (from + offset + 2, pair[1]))
}

/// Where `what` ends for the first time.
pub(super) fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let found = bytes[from..].windows(what.len()).position(|window| window == what);
    found.map(|offset| from + offset + what.len())
}

/// What an expression is made of.
#[derive(Default)]
struct Tally {
    tokens: usize,
    operators: usize,
    nesting: isize,
    /// `~`.
    joined: usize,
    /// `*`.
    times: usize,
    /// Whether the last token is a number that is not great, and whether it is a `*` behind something else.
    few: bool,
    opens_times: bool,
    /// Whether a `*` has no number beside it that is not great.
    many: bool,
    /// Commas and `+`.
    listed: usize,
    /// Whether it has the word.
    recursive: bool,
}

impl Tally {
    fn add(&mut self, token: &[u8]) -> Result<(), String> {
        self.tokens += 1;
        self.operators += usize::from(is_operator(token));
        let few = is_few(token);
        self.many |= self.opens_times && !few;
        self.opens_times = token == b"*" && !self.few;
        self.few = few;
        match token {
            b"(" | b"[" | b"{" => self.nesting += 1,
            b")" | b"]" | b"}" => self.nesting -= 1,
            b"~" => self.joined += 1,
            b"*" => self.times += 1,
            b"+" | b"," => self.listed += 1,
            b"recursive" => self.recursive = true,
            _ => {}
        }
        if self.operators > OPERATORS {
            return Err(format!("it has more than {OPERATORS} operators"));
        }
        if self.nesting > NESTING {
            return Err(format!("its brackets are more than {NESTING} deep"));
        }
        if self.tokens > TOKENS {
            return Err(format!("it has more than {TOKENS} words and signs"));
        }
        if token == b"~" && self.nesting > JOINED_WITHIN {
            return Err(format!("`~` stands in more than {JOINED_WITHIN} brackets"));
        }
        Ok(())
    }

    /// What can be told only at its end.
    fn finish(&self) -> Result<(), String> {
        if self.times > TIMES {
            return Err(format!("it has more than {TIMES} `*`"));
        }
        if self.joined > 0 && (self.times > 1 || self.many) {
            return Err(format!(
                "`~` stands beside a `*` that is not by a number up to {FEW}; write text around the \
                 braces, or do the sum in a step of its own"
            ));
        }
        Ok(())
    }
}

/// Passes over code to behind `close`, which as for the engine stands neither in a string nor in brackets.
fn code(
    bytes: &[u8],
    from: usize,
    close: Option<&[u8]>,
    tally: &mut Tally,
) -> Result<Option<usize>, String> {
    let mut at = from;
    while at < bytes.len() {
        let closing = close.filter(|close| tally.nesting == 0 && bytes[at..].starts_with(close));
        if let Some(close) = closing {
            tally.finish()?;
            return Ok(Some(at + close.len()));
        }
        let end = token_end(bytes, at);
        if !bytes[at].is_ascii_whitespace() {
            tally.add(&bytes[at..end])?;
        }
        at = end;
    }
    tally.finish()?;
    Ok(None)
}

pub(super) fn token_end(bytes: &[u8], at: usize) -> usize {
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

/// Whether it is a number by which a list may be multiplied that is made text.
fn is_few(token: &[u8]) -> bool {
    let text = std::str::from_utf8(token).unwrap_or_default();
    text.parse::<u32>().is_ok_and(|number| number <= FEW)
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
    fn what_would_grow_beyond_memory_is_refused_before_it_is_made() {
        let set = format!("{{% set x = 'x' %}}{}{{{{ x }}}}", "{% set x = x ~ x %}".repeat(40));
        let around = "{% with x = x ~ x %}".repeat(40) + "{{ x }}" + &"{% endwith %}".repeat(40);
        let through = "{% for x in [x ~ x] %}".repeat(40) + "{{ x }}" + &"{% endfor %}".repeat(40);
        let lists = "{% for x in [x, x] %}".repeat(40) + "{{ x }}" + &"{% endfor %}".repeat(40);
        let deep = "([".repeat(10) + "x" + &"] ~ '')".repeat(10);
        for text in [
            set.as_str(),
            &around,
            &through,
            &lists,
            "{% set ns = namespace(x='x') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% for x in [[1]] recursive %}{{ loop(x) }}{% endfor %}",
            "{% for x in [x] * 100000000 %}{{ x }}{% endfor %}",
            "{{ [x] * 100000000 ~ '' }}",
            "{{ n * [x] ~ '' }}",
            "{{ [x] * 100 * 100 * 100 ~ '' }}",
            &format!("{{{{ {deep} }}}}"),
            &format!("{{{{ [{}] }}}}", "x,".repeat(1_001)),
        ] {
            assert!(of_template(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_ordinary_sum_may_stand_beside_text() {
        let scope = json!({"a": 0.5, "rows": [[1, 2], [3]]});
        assert_eq!(evaluate("a * 100 ~ ' %'", &scope).unwrap(), json!("50.0 %"));
        let text = "{% for row in rows %}{% for cell in row | reverse %}{{ cell * 2 }} {% endfor %}{% endfor %}";
        assert_eq!(render_text(text, &scope).unwrap(), "4 2 6 ");
    }

    #[test]
    fn long_text_around_templates_is_no_matter() {
        let text = "a. b - c | ".repeat(10_000) + "{{ 1 }}";
        assert!(render_text(&text, &json!({})).is_ok());
        let many = "{{ 1 }}".repeat(1_000);
        assert_eq!(render_text(&many, &json!({})).unwrap().len(), 1_000);
    }
}
