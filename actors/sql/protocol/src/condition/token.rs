//! The words of a condition.

use std::fmt;

use super::{Comparison, Wrong};

/// A piece of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name, or a word of the language.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// A text in single quotes.
    Text(String),
    Integer(i64),
    Number(f64),
    Comparison(Comparison),
    Open,
    Close,
    Comma,
    Dot,
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(formatter, "`{word}`"),
            Self::Quoted(name) => write!(formatter, "`\"{name}\"`"),
            Self::Text(text) => write!(formatter, "`'{text}'`"),
            Self::Integer(number) => write!(formatter, "`{number}`"),
            Self::Number(number) => write!(formatter, "`{number}`"),
            Self::Comparison(comparison) => write!(formatter, "`{comparison}`"),
            Self::Open => formatter.write_str("`(`"),
            Self::Close => formatter.write_str("`)`"),
            Self::Comma => formatter.write_str("`,`"),
            Self::Dot => formatter.write_str("`.`"),
        }
    }
}

/// The pieces of `text`, each with its place.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = characters.get(at) {
        if first.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, length) = token(&characters[at..]).map_err(|why| (at, why))?;
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// The piece at the beginning of `rest`, and its length.
fn token(rest: &[char]) -> Result<(Token, usize), String> {
    let second = rest.get(1).copied();
    let (token, length) = match (rest[0], second) {
        ('(', _) => (Token::Open, 1),
        (')', _) => (Token::Close, 1),
        (',', _) => (Token::Comma, 1),
        ('<', Some('=')) => (Token::Comparison(Comparison::AtMost), 2),
        ('<', Some('>')) | ('!', Some('=')) => (Token::Comparison(Comparison::Unequal), 2),
        ('<', _) => (Token::Comparison(Comparison::Less), 1),
        ('>', Some('=')) => (Token::Comparison(Comparison::AtLeast), 2),
        ('>', _) => (Token::Comparison(Comparison::Greater), 1),
        ('=', _) => (Token::Comparison(Comparison::Equal), 1),
        ('\'', _) => return quoted(rest, '\'').map(|(text, length)| (Token::Text(text), length)),
        ('"', _) => return quoted(rest, '"').map(|(text, length)| (Token::Quoted(text), length)),
        ('-', Some(digit)) if digit.is_ascii_digit() => return number(rest),
        (digit, _) if digit.is_ascii_digit() => return number(rest),
        ('.', _) => (Token::Dot, 1),
        (letter, _) if letter.is_alphabetic() || letter == '_' => {
            let belongs = |c: &&char| c.is_alphanumeric() || **c == '_';
            let word: String = rest.iter().take_while(belongs).collect();
            let length = word.chars().count();
            (Token::Word(word), length)
        }
        (odd, _) => return Err(format!("`{odd}` is not known")),
    };
    Ok((token, length))
}

/// What stands between quotes; twice the quote is one of the text.
fn quoted(rest: &[char], quote: char) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut at = 1;
    while let Some(c) = rest.get(at) {
        match (*c == quote, rest.get(at + 1) == Some(&quote)) {
            (true, true) => at += 1,
            (true, false) => return Ok((text, at + 1)),
            (false, _) => {}
        }
        text.push(*c);
        at += 1;
    }
    Err(format!("the quote {quote} has no end"))
}

fn number(rest: &[char]) -> Result<(Token, usize), String> {
    let belongs = |c: &&char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let text: String = rest.iter().take_while(belongs).collect();
    let length = text.chars().count();
    if let Ok(number) = text.parse() {
        return Ok((Token::Integer(number), length));
    }
    let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
    match text.parse::<f64>() {
        Ok(number) if plain && number.is_finite() => Ok((Token::Number(number), length)),
        Ok(_) | Err(_) => Err(format!("`{text}` is no number")),
    }
}
