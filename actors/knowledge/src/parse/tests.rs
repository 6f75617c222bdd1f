use lopdf::content::{Content, Operation};
use lopdf::{Document as Pdf, Object, Stream, dictionary};
use perennial_runtime::decoding::seed;

use super::*;
use crate::chunk::chunks;

fn parsed(format: Format, bytes: &[u8]) -> Parsed {
    let sanitizer = Sanitizer::new().unwrap();
    parse(format, bytes, &sanitizer, &SanitizeOptions::default()).unwrap()
}

fn error(format: Format, bytes: &[u8]) -> ParseError {
    let sanitizer = Sanitizer::new().unwrap();
    parse(format, bytes, &sanitizer, &SanitizeOptions::default()).unwrap_err()
}

fn texts(parsed: &Parsed) -> Vec<&str> {
    parsed.blocks.iter().map(|block| block.text.as_str()).collect()
}

fn link(text: &str, target: &str) -> Link {
    Link { text: text.to_owned(), target: target.to_owned() }
}

#[test]
fn markdown_is_read_without_its_marks() {
    let text = "# Guide\n\nSee *the* [manual](manual.md), `now`.\n\n## Use\n\n- press\n- wait\n\n\
                | a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx = 1\n  y\n```\n\n<div>Raw <b>text</b></div>\n";
    let parsed = parsed(Format::Markdown, text.as_bytes());
    let expected = [
        "Guide",
        "See the manual, now.",
        "Use",
        "press",
        "wait",
        "a | b",
        "1 | 2",
        "x = 1\n  y",
        "Raw text",
    ];
    // Single letters have words too; the rule for those is the chunker's.
    assert_eq!(texts(&parsed), expected);
    assert_eq!(parsed.title.as_deref(), Some("Guide"));
    assert_eq!(parsed.links, [link("manual", "manual.md")]);
    let headings: Vec<(u8, &str)> =
        parsed.contents.iter().map(|heading| (heading.level, heading.text.as_str())).collect();
    assert_eq!(headings, [(1, "Guide"), (2, "Use")]);
}

#[test]
fn html_is_read_as_it_would_be_seen() {
    let text = "<html><head><title>A &amp; B</title><style>p{}</style></head><body>\
                <h1>Over view</h1><p>One\n  two <a href=' b.html '>three</a>.<p>Four\
                <script>evil('<p>not seen</p>')</script><ul><li>x1<li>x2</ul>\
                <table><tr><td>c</td><td>d</td></tr></table><pre>a\n  b</pre>";
    let parsed = parsed(Format::Html, text.as_bytes());
    let expected = ["Over view", "One two three.", "Four", "x1", "x2", "c | d", "a\n  b"];
    assert_eq!(texts(&parsed), expected);
    assert_eq!(parsed.title.as_deref(), Some("A & B"));
    assert_eq!(parsed.links, [link("three", "b.html")]);
    assert_eq!(parsed.counts, BTreeMap::from([("script", 1)]));
}

#[test]
fn rows_of_a_table_name_their_columns() {
    let parsed = parsed(Format::Csv, "name;note\nAnna;\"a;b\"\n;alone\nBen;x;more\n".as_bytes());
    assert_eq!(
        texts(&parsed),
        ["name: Anna; note: a;b", "note: alone", "name: Ben; note: x; more"]
    );
    assert_eq!(parsed.blocks[2].row, Some(4));
}

#[test]
fn form_feeds_begin_pages() {
    let parsed = parsed(Format::Text, b"First page.\n\nStill first.\x0cSecond page.");
    let pages: Vec<Option<u32>> = parsed.blocks.iter().map(|block| block.page).collect();
    assert_eq!(pages, [Some(1), Some(1), Some(2)]);
}

#[test]
fn a_script_over_blank_lines_of_text_is_found() {
    let parsed =
        parsed(Format::Text, b"Before it.\n\n<script>\na()\n\nb()\n</script>\n\nAfter it.");
    assert_eq!(texts(&parsed), ["Before it.", "[removed]", "After it."]);
    assert_eq!(parsed.counts, BTreeMap::from([("script", 1)]));
}

#[test]
fn an_index_and_a_table_of_contents_in_the_text_are_found() {
    let text = "Contents\n1 Fruit ..... 3\n1.1 Apples page 4\n\x0cFruit grows.\n\x0cSubject Index\nA\nApple 2, 4-5\nBanana, 3\nCherry . . . . 5\n";
    let parsed = parsed(Format::Text, text.as_bytes());
    let contents: Vec<(u8, &str, Option<u32>)> = parsed
        .contents
        .iter()
        .map(|entry| (entry.level, entry.text.as_str(), entry.page))
        .collect();
    assert_eq!(contents, [(1, "1 Fruit", Some(3)), (2, "1.1 Apples", Some(4))]);
    let terms: Vec<(&str, &[u32])> =
        parsed.terms.iter().map(|term| (term.text.as_str(), term.pages.as_slice())).collect();
    assert_eq!(terms, [("Apple", [2, 4].as_slice()), ("Banana", [3].as_slice()), ("Cherry", &[5])]);
}

#[test]
fn what_is_no_document_is_refused_with_the_reason() {
    assert_eq!(error(Format::Text, b"Hi"), ParseError::Refused(Refusal::TooShort));
    assert_eq!(
        error(Format::Text, &[0, 255, 1, 254, 7, 65]),
        ParseError::Refused(Refusal::MostlyBinary)
    );
    assert_eq!(
        error(Format::Html, b"<script>a()</script>    <br>"),
        ParseError::Refused(Refusal::NoText)
    );
    assert!(
        matches!(error(Format::Pdf, b"no pdf at all"), ParseError::Malformed(why) if why.contains("PDF"))
    );
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_and_told() {
    let parsed = parsed(Format::Text, b"A caf\xe9 in the old town.");
    assert_eq!(texts(&parsed), ["A caf\u{fffd} in the old town."]);
    assert!(parsed.warnings[0].contains("UTF-8"));
}

fn operation(operator: &str, operands: Vec<Object>) -> Operation {
    Operation::new(operator, operands)
}

fn string(text: &str) -> Object {
    Object::string_literal(text)
}

/// A PDF with these operations on its pages, and what else its resources have.
fn pdf(pages: Vec<Vec<Operation>>, form: Option<Vec<Operation>>) -> Vec<u8> {
    let mut pdf = Pdf::with_version("1.5");
    let tree = pdf.new_object_id();
    let font = pdf.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier",
        "Encoding" => "WinAnsiEncoding", "FirstChar" => 0,
        "Widths" => Object::Array(vec![Object::Integer(600); 256]),
    });
    let mut resources = dictionary! { "Font" => dictionary! { "F1" => font } };
    if let Some(form) = form {
        let id = pdf.new_object_id();
        let names = dictionary! { "X1" => id };
        let own =
            dictionary! { "Font" => dictionary! { "F1" => font }, "XObject" => names.clone() };
        let head = dictionary! { "Type" => "XObject", "Subtype" => "Form", "Resources" => own };
        let content = Content { operations: form }.encode().unwrap();
        pdf.objects.insert(id, Object::Stream(Stream::new(head, content)));
        resources.set("XObject", names);
    }
    let resources = pdf.add_object(resources);
    let mut kids = Vec::new();
    for operations in pages {
        let content = Content { operations }.encode().unwrap();
        let content = pdf.add_object(Stream::new(dictionary! {}, content));
        let page = dictionary! { "Type" => "Page", "Parent" => tree, "Contents" => content };
        kids.push(Object::Reference(pdf.add_object(page)));
    }
    let count = i64::try_from(kids.len()).unwrap();
    pdf.objects.insert(
        tree,
        Object::Dictionary(dictionary! {
            "Type" => "Pages", "Kids" => kids, "Count" => count, "Resources" => resources,
        }),
    );
    let catalog = pdf.add_object(dictionary! { "Type" => "Catalog", "Pages" => tree });
    pdf.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    pdf.save_to(&mut bytes).unwrap();
    bytes
}

/// Text at a place of the page.
fn at(x: i64, y: i64, text: &str) -> Vec<Operation> {
    vec![
        operation("BT", vec![]),
        operation("Tf", vec!["F1".into(), 10.into()]),
        operation("Td", vec![x.into(), y.into()]),
        operation("Tj", vec![string(text)]),
        operation("ET", vec![]),
    ]
}

#[test]
fn gaps_on_a_page_become_spaces_lines_and_paragraphs() {
    // A letter is 6 wide: the second text begins where the first ends, the third after a gap.
    let parts = [
        (50, 700, "Fi"),
        (62, 700, "rst"),
        (84, 700, "line"),
        (50, 688, "second"),
        (50, 640, "New."),
    ];
    let first = parts.iter().flat_map(|(x, y, text)| at(*x, *y, text)).collect();
    let kerned = vec![
        string("Ke"),
        Object::Integer(40),
        string("rned"),
        Object::Integer(-300),
        string("word"),
    ];
    let mut second = at(50, 700, "On page two:");
    second.insert(4, operation("T*", vec![]));
    second.insert(5, operation("TJ", vec![Object::Array(kerned)]));
    let parsed = parsed(Format::Pdf, &pdf(vec![first, second], None));
    assert_eq!(texts(&parsed)[..2], ["First line\nsecond", "New."]);
    assert!(texts(&parsed)[2].ends_with("Kerned word"), "{:?}", texts(&parsed));
    let places: Vec<String> =
        chunks(&parsed.blocks).iter().map(|draft| draft.place.to_string()).collect();
    assert_eq!(places, ["pages 1-2"]);
}

#[test]
fn a_form_that_shows_itself_ends_and_its_text_is_read() {
    let mut form = at(50, 600, "Within the form.");
    form.push(operation("Do", vec!["X1".into()]));
    form.push(operation("Do", vec!["X1".into()]));
    let page = vec![operation("Do", vec!["X1".into()])];
    let parsed = parsed(Format::Pdf, &pdf(vec![page], Some(form)));
    assert!(texts(&parsed)[0].contains("Within the form."));
}

#[test]
fn a_page_without_text_is_refused_as_one() {
    let page = vec![operation("re", vec![0.into(), 0.into(), 9.into(), 9.into()])];
    assert_eq!(error(Format::Pdf, &pdf(vec![page], None)), ParseError::Refused(Refusal::NoText));
}

#[test]
fn a_pdf_cut_anywhere_brings_nothing_down() {
    let bytes = pdf(vec![at(50, 700, "Some text on a page.")], None);
    let sanitizer = Sanitizer::new().unwrap();
    for end in (0..bytes.len()).step_by(7) {
        drop(parse(Format::Pdf, &bytes[..end], &sanitizer, &SanitizeOptions::default()));
    }
}

#[test]
fn the_seeds_of_the_fuzzer_are_documents_that_are_read() {
    let spaced = vec![string("Ke"), Object::Integer(-300), string("rned")];
    let mut plain = at(50, 700, "Some text on a page.");
    plain.insert(4, operation("TJ", vec![Object::Array(spaced)]));
    plain.extend(at(50, 680, "A second line."));
    let form = at(50, 600, "Within the form.");
    let shows = vec![operation("q", vec![]), operation("Do", vec!["X1".into()])];
    let documents =
        [("pages", pdf(vec![plain.clone(), plain], None)), ("form", pdf(vec![shows], Some(form)))];
    for (name, bytes) in documents {
        assert!(!parsed(Format::Pdf, &bytes).blocks.is_empty(), "{name}");
        seed("pdf", name, &bytes);
    }
}
