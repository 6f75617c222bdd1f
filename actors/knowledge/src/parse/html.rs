//! HTML: the text that a reader would see, block by block. No tree is built: what matters here is where blocks
//! begin and end, and that holds of broken markup as well.

use std::cell::RefCell;

use html5ever::Attribute;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use super::Parsed;
use crate::chunk::Block;
use crate::document::Link;

pub(super) fn read(text: &str) -> Parsed {
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(text));
    while let html5ever::TokenizerResult::Script(()) = tokenizer.feed(&input) {}
    tokenizer.end();
    let mut reader = tokenizer.sink.0.into_inner();
    reader.flush();
    reader.parsed
}

#[derive(Default)]
struct Sink(RefCell<Reader>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut reader = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) => return reader.tag(&tag),
            Token::CharacterTokens(text) => reader.characters(&text),
            Token::EOFToken => reader.flush(),
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

#[derive(Default)]
struct Reader {
    parsed: Parsed,
    text: String,
    heading: Option<u8>,
    link: Option<(String, usize)>,
    title: String,
    /// Whether the title has ended; pictures have titles too.
    titled: bool,
    /// Within an element whose text nobody sees.
    hidden: Option<String>,
    /// How deep within preformatted text.
    verbatim: usize,
}

impl Reader {
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let begins = tag.kind == TagKind::StartTag;
        if self.hidden.as_deref() == Some(name) && !begins {
            self.titled |= name == "title";
            self.hidden = None;
            return TokenSinkResult::Continue;
        }
        match (name, begins) {
            ("script" | "style" | "noscript" | "template" | "iframe", true) => {
                return self.hide(name);
            }
            ("title", true) => {
                self.hidden = Some("title".to_owned());
                return TokenSinkResult::RawData(RawKind::Rcdata);
            }
            ("textarea", true) => return TokenSinkResult::RawData(RawKind::Rcdata),
            ("a", true) => self.link = target(&tag.attrs).map(|target| (target, self.text.len())),
            ("a", false) => self.end_link(),
            ("br", _) => self.text.push('\n'),
            ("td" | "th", true) if !self.text.trim().is_empty() => self.text.push_str(" | "),
            ("h1" | "h2" | "h3" | "h4" | "h5" | "h6", _) => {
                self.flush();
                let level = name.bytes().last().map(|digit| digit - b'0');
                self.heading = level.filter(|_| begins);
            }
            ("pre", _) => {
                self.flush();
                self.verbatim = if begins { self.verbatim + 1 } else { 0 };
            }
            _ if is_block(name) => self.flush(),
            _ => {}
        }
        TokenSinkResult::Continue
    }

    fn hide(&mut self, name: &str) -> TokenSinkResult<()> {
        self.hidden = Some(name.to_owned());
        match name {
            "script" => {
                *self.parsed.counts.entry("script").or_default() += 1;
                TokenSinkResult::RawData(RawKind::ScriptData)
            }
            "template" => TokenSinkResult::Continue,
            _ => TokenSinkResult::RawData(RawKind::Rawtext),
        }
    }

    fn characters(&mut self, text: &str) {
        match self.hidden.as_deref() {
            Some("title") if !self.titled => self.title.push_str(text),
            Some(_) => {}
            None if self.verbatim > 0 => self.text.push_str(text),
            None => self.flow(text),
        }
    }

    /// Adds text in which whitespace is as good as one space.
    fn flow(&mut self, text: &str) {
        for character in text.chars() {
            if !character.is_whitespace() {
                self.text.push(character);
            } else if !self.text.is_empty() && !self.text.ends_with(char::is_whitespace) {
                self.text.push(' ');
            }
        }
    }

    fn end_link(&mut self) {
        if let Some((target, start)) = self.link.take() {
            let text = self.text.get(start..).unwrap_or_default().trim().to_owned();
            self.parsed.links.push(Link { text, target });
        }
    }

    fn flush(&mut self) {
        self.end_link();
        let title = self.title.trim();
        self.parsed.title = (!title.is_empty()).then(|| title.to_owned());
        let text = std::mem::take(&mut self.text);
        let text = text.trim_end().trim_matches('\n');
        if !text.trim().is_empty() {
            let heading = self.heading;
            self.parsed.blocks.push(Block { text: text.to_owned(), heading, ..Block::default() });
        }
    }
}

fn target(attributes: &[Attribute]) -> Option<String> {
    let href = attributes.iter().find(|attribute| &*attribute.name.local == "href");
    href.map(|attribute| attribute.value.trim().to_owned())
}

/// Elements that stand on lines of their own (HTML standard, section 15.3.3 and following).
fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 39] = [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "head",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "option",
        "p",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
    ];
    BLOCKS.contains(&name) || name == "ul"
}
