//! The words of a sentence, the values in it, and the names made of words.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use crate::plan::StepId;
use crate::rules::condition::FieldPath;

/// The words of which a field's name may be made; what is longer is prose.
const NAME_WORDS: usize = 6;

/// Words that no field is named by: they join sentences, of which one would be lost.
const JOINTS: [&str; 16] = [
    "and", "but", "has", "have", "if", "is", "not", "or", "that", "unless", "when", "where",
    "which", "who", "with", "without",
];

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word or a number.
    Word(String),
    /// What stands in quotes.
    Text(String),
    /// What stands between back-quotes: a field, exactly.
    Field(String),
    /// `${field}`, as it is written.
    Reference(String),
    /// A comma, a colon or `=`.
    Sign(char),
}

impl Token {
    /// The word, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Text(_) | Self::Field(_) | Self::Reference(_) | Self::Sign(_) => None,
        }
    }

    /// Whether it is this word, in capitals or not.
    pub(super) fn is(&self, word: &str) -> bool {
        self.word().is_some_and(|own| own.eq_ignore_ascii_case(word))
    }

    /// The value that it writes, if it writes one.
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            Self::Text(text) | Self::Reference(text) => Some(Value::from(text.clone())),
            Self::Word(word) => plain(word),
            Self::Field(_) | Self::Sign(_) => None,
        }
    }
}

/// The number or truth that `word` writes.
fn plain(word: &str) -> Option<Value> {
    match word {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        number => number.parse::<Number>().ok().map(Value::Number),
    }
}

/// The value in a cell of a table: there text needs no quotes.
pub(super) fn cell(text: &str) -> Value {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    match quoted('"').or_else(|| quoted('\'')) {
        Some(inner) => Value::from(inner),
        None => plain(text).unwrap_or_else(|| Value::from(text)),
    }
}

/// The parts of `sentence`.
///
/// # Errors
/// Quotes that are not closed.
pub(super) fn tokens(sentence: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut rest) = (Vec::new(), sentence.trim_start());
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' | '\'' => quoted(rest, first)?,
            '`' => {
                let inner = enclosed(rest, "`", '`')?;
                (Token::Field(inner.trim().to_owned()), inner.len() + 2)
            }
            ',' | '=' | ':' => (Token::Sign(first), 1),
            '$' if rest.starts_with("${") => {
                let length = enclosed(rest, "${", '}')?.len() + 3;
                (Token::Reference(rest[..length].to_owned()), length)
            }
            _ => {
                let length = word(rest);
                (Token::Word(rest[..length].to_owned()), length)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The length of the word that `text` begins with. A colon belongs to it unless it ends it, as in `role:admin`.
fn word(text: &str) -> usize {
    let ends = |next: char| next.is_whitespace() || ",=\"`".contains(next);
    let length = text.find(ends).unwrap_or(text.len());
    text[..length].strip_suffix(':').filter(|word| !word.is_empty()).map_or(length, str::len)
}

fn enclosed<'a>(text: &'a str, begin: &str, end: char) -> Result<&'a str, String> {
    let inner = &text[begin.len()..];
    let length = inner.find(end).ok_or_else(|| format!("`{text}` is not closed"))?;
    Ok(&inner[..length])
}

/// Text in quotes; a backslash takes the meaning from a quote or a backslash behind it.
fn quoted(text: &str, quote: char) -> Result<(Token, usize), String> {
    let (mut inner, mut escaped) = (String::new(), false);
    for (at, character) in text.char_indices().skip(1) {
        if escaped {
            if character != quote && character != '\\' {
                inner.push('\\');
            }
            inner.push(character);
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return Ok((Token::Text(inner), at + 1));
        } else {
            inner.push(character);
        }
    }
    Err(format!("the quotes of {text} are not closed"))
}

/// A name in lower case with underscores, if `words` can make one.
pub(super) fn slug<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let words: Vec<String> = words.into_iter().map(|word| word.to_lowercase()).collect();
    let name = words.join("_").replace('-', "_");
    StepId::is_valid(&name).then_some(name)
}

/// The words behind an article, if there are any.
pub(super) fn without_article(tokens: &[Token]) -> &[Token] {
    match tokens {
        [first, rest @ ..] if !rest.is_empty() && is_article(first) => rest,
        all => all,
    }
}

fn is_article(token: &Token) -> bool {
    ["a", "an", "the"].into_iter().any(|article| token.is(article))
}

/// What the fields of one scenario are called.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Nouns that were introduced as having attributes: `a customer with …`.
    subjects: Vec<String>,
    /// Of fields named without their subject, which one it was.
    owners: BTreeMap<String, String>,
}

impl Names {
    /// What stands between `a` and `with`, if the sentence begins so.
    pub(super) fn introduced(tokens: &[Token]) -> Option<(&[Token], &[Token])> {
        let article = tokens.first()?;
        if !article.is("a") && !article.is("an") {
            return None;
        }
        let with = tokens.iter().position(|token| token.is("with"))?;
        (with > 1).then(|| (&tokens[1..with], &tokens[with + 1..]))
    }

    /// Takes note of the noun that `tokens` introduces, if it does.
    pub(super) fn introduce(&mut self, tokens: &[Token]) {
        let noun = Self::introduced(tokens).and_then(|(noun, _)| single(noun));
        self.subjects.extend(noun.and_then(|noun| slug([noun])));
    }

    /// The field that `tokens` name.
    ///
    /// # Errors
    /// Why they name none.
    pub(super) fn field(&mut self, tokens: &[Token]) -> Result<FieldPath, String> {
        let named = |text: &str| {
            FieldPath::parse(text).ok_or_else(|| format!("`{text}` does not name a field"))
        };
        if let [Token::Field(text)] = tokens {
            return named(text);
        }
        let words: Option<Vec<&str>> = without_article(tokens).iter().map(Token::word).collect();
        let words = words.ok_or("a field is named by words, or exactly between back-quotes")?;
        match words.as_slice() {
            [] => Err("a field is missing".to_owned()),
            [word] if word.contains('.') => named(word),
            words if words.iter().any(|word| JOINTS.contains(&word.to_lowercase().as_str())) => {
                Err(format!(
                    "`{}` is no name of a field; write a step for each thing",
                    words.join(" ")
                ))
            }
            words if words.len() > NAME_WORDS => {
                Err(format!("`{}` is too long for the name of a field", words.join(" ")))
            }
            [subject, rest @ ..] if !rest.is_empty() && self.has_subject(subject) => {
                let field = path(rest)?;
                self.own(subject, &field)?;
                Ok(field)
            }
            words => path(words),
        }
    }

    /// The field that `tokens` name behind `a subject with`.
    ///
    /// # Errors
    /// Why they name none.
    pub(super) fn attribute(
        &mut self,
        noun: &[Token],
        tokens: &[Token],
    ) -> Result<FieldPath, String> {
        let subject = single(noun).ok_or(
            "between `a` and `with` stands one word; say everything about it behind `with`",
        )?;
        let field = self.field(tokens)?;
        self.own(subject, &field)?;
        Ok(field)
    }

    fn has_subject(&self, word: &str) -> bool {
        slug([word]).is_some_and(|word| self.subjects.contains(&word))
    }

    /// Two subjects must not share a field: it would be a test of either.
    fn own(&mut self, subject: &str, field: &FieldPath) -> Result<(), String> {
        let subject = subject.to_lowercase();
        let owner = self.owners.entry(field.to_string()).or_insert_with(|| subject.clone());
        if *owner == subject {
            return Ok(());
        }
        Err(format!(
            "`{field}` is of both {owner} and {subject} here; name the field exactly, between back-quotes"
        ))
    }
}

fn single(noun: &[Token]) -> Option<&str> {
    match noun {
        [Token::Word(word)] => Some(word),
        _ => None,
    }
}

/// The path that words make: a word in the genitive is an object, the words behind it a field of that.
fn path(words: &[&str]) -> Result<FieldPath, String> {
    let (mut parts, mut part): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
    let refused = || {
        let words = words.join(" ");
        format!("`{words}` does not make the name of a field; write one between back-quotes")
    };
    for word in words {
        let owner = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s"));
        part.push(owner.unwrap_or(word));
        if owner.is_some() {
            parts.push(slug(part.drain(..)).ok_or_else(refused)?);
        }
    }
    parts.push(slug(part).ok_or_else(refused)?);
    FieldPath::parse(&parts.join(".")).ok_or_else(refused)
}
