//! Markdown: its text without its marks, as it would be read.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Parsed, html};
use crate::chunk::Block;
use crate::document::Link;

pub(super) fn read(text: &str) -> Parsed {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(text, options) {
        reader.take(event);
    }
    reader.flush();
    let title = reader.parsed.blocks.iter().find(|block| block.heading == Some(1));
    reader.parsed.title = title.map(|block| block.text.clone());
    reader.parsed
}

#[derive(Default)]
struct Reader {
    parsed: Parsed,
    text: String,
    heading: Option<u8>,
    /// The address and where its words begin.
    link: Option<(String, usize)>,
    /// Markup of blocks, which is read as what it is.
    markup: Option<String>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) => self.text.push_str(&text),
            Event::Html(html) => match &mut self.markup {
                Some(markup) => markup.push_str(&html),
                None => self.text.push_str(&html),
            },
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            Event::Rule => self.flush(),
            Event::FootnoteReference(label) => {
                self.text.push_str(&format!("[{label}]"));
            }
            Event::InlineMath(text) | Event::DisplayMath(text) => self.text.push_str(&text),
            // Tags within a line say nothing; their content is text.
            Event::InlineHtml(_) | Event::TaskListMarker(_) => {}
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.flush();
                self.heading = Some(number(level));
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some((dest_url.into_string(), self.text.len()));
            }
            Tag::HtmlBlock => {
                self.flush();
                self.markup = Some(String::new());
            }
            Tag::TableCell if !self.text.is_empty() => self.text.push_str(" | "),
            Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript
            | Tag::TableCell => {}
            Tag::Paragraph
            | Tag::BlockQuote(_)
            | Tag::CodeBlock(_)
            | Tag::List(_)
            | Tag::Item
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Table(_)
            | Tag::TableHead
            | Tag::TableRow
            | Tag::MetadataBlock(_) => self.flush(),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Link | TagEnd::Image => {
                if let Some((target, start)) = self.link.take() {
                    let text = self.text.get(start..).unwrap_or_default().to_owned();
                    self.parsed.links.push(Link { text, target });
                }
            }
            TagEnd::HtmlBlock => {
                let markup = html::read(&self.markup.take().unwrap_or_default());
                self.parsed.blocks.extend(markup.blocks);
                self.parsed.links.extend(markup.links);
            }
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::TableCell => {}
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::BlockQuote(_)
            | TagEnd::CodeBlock
            | TagEnd::List(_)
            | TagEnd::Item
            | TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Table
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::MetadataBlock(_) => self.flush(),
        }
    }

    /// Ends the block.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        let heading = self.heading.take();
        if !text.trim().is_empty() {
            let text = text.trim_end().trim_matches('\n').to_owned();
            self.parsed.blocks.push(Block { text, heading, ..Block::default() });
        }
    }
}

const fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
