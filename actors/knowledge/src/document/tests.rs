use super::*;

fn sample() -> Document {
    let id = DocumentId::new(Some("red"), "guide.md");
    let text = "Press the button.\nThen wait.";
    let chunk = Chunk {
        id: ChunkId::new(&id, text),
        place: Place { pages: Some((2, 3)), rows: None, headings: vec!["Use".to_owned()] },
        text: text.to_owned(),
    };
    let header = Header {
        format: FORMAT,
        id,
        name: "guide.md".to_owned(),
        title: "The guide".to_owned(),
        written_in: Format::Markdown,
        team: Some("red".to_owned()),
        metadata: BTreeMap::from([("year".to_owned(), "2025".to_owned())]),
        chunks: 1,
        content: content_hash([text]),
        links: vec![Link { text: "more".to_owned(), target: "more.md".to_owned() }],
        reading: Default::default(),
    };
    Document {
        header,
        headings: vec![Heading { level: 1, text: "Use".to_owned(), page: Some(2) }],
        terms: vec![Term { text: "button".to_owned(), pages: vec![2, 3] }],
        chunks: vec![chunk],
    }
}

#[test]
fn a_document_is_the_same_after_it_was_written() {
    let (bytes, version) = sample().encode().unwrap();
    assert_eq!(Document::decode(&bytes).unwrap(), (sample(), version));
    let mut read = sample();
    read.header.reading = Reading {
        characters: 30,
        quality: Quality { characters: 28, meaningful: 24, strange: 1 },
        repeated_chunks: 2,
        sanitized: BTreeMap::from([("script".to_owned(), 3)]),
        warnings: vec!["the text is not UTF-8".to_owned()],
    };
    let (bytes, version) = read.encode().unwrap();
    assert_eq!(Document::decode(&bytes).unwrap(), (read, version));
}

/// The file as version 1 of the format has it. A change that makes this fail needs a new version of the format
/// and a way to read this one.
#[test]
fn a_file_of_format_1_can_be_read_for_ever() {
    let frozen = include_bytes!("../../../../tests/fixtures/knowledge/document.1.jsonl");
    assert_eq!(Document::decode(frozen).unwrap().0, sample());
    assert_eq!(sample().encode().unwrap().0, frozen);
}

#[test]
fn a_file_with_one_byte_changed_or_missing_is_refused() {
    let (bytes, _) = sample().encode().unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Document::decode(&changed).is_err(), "byte {at}");
        assert!(Document::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_file_of_another_format_is_refused_by_number() {
    let mut other = sample();
    other.header.format = 2;
    let (bytes, _) = other.encode().unwrap();
    assert!(Document::decode(&bytes).unwrap_err().contains("format 2"));
}

#[test]
fn identities_depend_on_team_name_and_words_only() {
    let (red, blue) = (DocumentId::new(Some("red"), "a"), DocumentId::new(Some("blue"), "a"));
    assert!(red != blue && red != DocumentId::new(None, "a"));
    assert_eq!(DocumentId::parse(red.as_str()), Some(red.clone()));
    assert_eq!(DocumentId::parse("doc-12"), None);
    assert_eq!(ChunkId::new(&red, "one  two\nthree"), ChunkId::new(&red, " one two three "));
    assert_ne!(ChunkId::new(&red, "one two"), ChunkId::new(&blue, "one two"));
    let id = ChunkId::new(&red, "one");
    assert_eq!(id.to_string().parse::<ChunkId>().unwrap(), id);
    assert!("é".repeat(16).parse::<ChunkId>().is_err());
}
