//! The lines of a document: scenarios, their steps and tables. What the sentences say is not read here.

use super::Mistake;

/// A scenario with everything that holds for it from around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) line: usize,
    pub(super) name: String,
    /// The names of what it stands in.
    pub(super) within: String,
    /// Of what it stands in, from the outermost, and its own at the end.
    pub(super) tags: Vec<Vec<Tag>>,
    /// Those of backgrounds first.
    pub(super) steps: Vec<Step>,
    /// Whether it says that it has examples.
    pub(super) is_outline: bool,
    pub(super) examples: Vec<Examples>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) line: usize,
    /// Without the `@`.
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) kind: StepKind,
    /// Without the word at its beginning.
    pub(super) text: String,
    pub(super) table: Vec<Row>,
}

/// What a step is; `And` and `But` are what stands before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepKind {
    Given,
    When,
    Then,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) cells: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Examples {
    pub(super) line: usize,
    pub(super) tags: Vec<Tag>,
    /// The first holds the names.
    pub(super) rows: Vec<Row>,
}

/// The scenarios of `text`.
pub(super) fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Vec<Scenario> {
    let mut reader = Reader {
        mistakes,
        part: Part::Nothing,
        levels: Vec::new(),
        tags: Vec::new(),
        kind: None,
        scenarios: Vec::new(),
    };
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    while let Some((number, line)) = lines.next() {
        match delimiter(line) {
            Some(delimiter) => {
                let message = "text between quotes is not understood here; put values into a table";
                reader.mistake(number, message);
                // What is in it is not read as sentences.
                lines.by_ref().take_while(|(_, line)| *line != delimiter).for_each(drop);
            }
            None => reader.line(number, line),
        }
    }
    reader.finish()
}

/// What a text over several lines begins and ends with.
fn delimiter(line: &str) -> Option<&'static str> {
    ["\"\"\"", "```"].into_iter().find(|delimiter| line.starts_with(delimiter))
}

/// What a line stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Feature,
    Rule,
    Background,
    Scenario,
    Examples,
}

/// What a heading opens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heading {
    Feature,
    Rule,
    Background,
    Scenario,
    Outline,
    Examples,
}

const HEADINGS: [(&str, Heading); 9] = [
    ("Feature", Heading::Feature),
    ("Rule", Heading::Rule),
    ("Background", Heading::Background),
    ("Scenario", Heading::Scenario),
    ("Example", Heading::Scenario),
    ("Scenario Outline", Heading::Outline),
    ("Scenario Template", Heading::Outline),
    ("Examples", Heading::Examples),
    ("Scenarios", Heading::Examples),
];

/// A feature, or a rule in it.
#[derive(Default)]
struct Level {
    name: String,
    tags: Vec<Tag>,
    background: Vec<Step>,
}

struct Reader<'a> {
    mistakes: &'a mut Vec<Mistake>,
    part: Part,
    /// The feature and, in it, the rule.
    levels: Vec<Level>,
    /// Those that stand before what they belong to.
    tags: Vec<Tag>,
    /// What the last step of this part was.
    kind: Option<StepKind>,
    scenarios: Vec<Scenario>,
}

impl Reader<'_> {
    fn mistake(&mut self, line: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(line, message));
    }

    fn line(&mut self, number: usize, line: &str) {
        if line.is_empty() {
            return;
        }
        if let Some(comment) = line.strip_prefix('#') {
            return self.comment(number, comment);
        }
        if line.starts_with('@') {
            return self.tag_line(number, line);
        }
        if line.starts_with('|') {
            return self.row(number, line);
        }
        if let Some((heading, name)) = heading(line) {
            return self.open(number, heading, name);
        }
        if let Some((word, text)) = step(line) {
            return self.step(number, word, text);
        }
        if !matches!(self.part, Part::Feature | Part::Rule) {
            self.mistake(
                number,
                format!("`{line}` begins with none of Given, When, Then, And, But"),
            );
        }
    }

    fn comment(&mut self, number: usize, comment: &str) {
        let language = comment.trim().strip_prefix("language:").map(str::trim);
        if language.is_some_and(|language| language != "en") {
            self.mistake(number, "only English sentences are understood (`# language: en`)");
        }
    }

    fn tag_line(&mut self, number: usize, line: &str) {
        for word in line.split_whitespace().take_while(|word| !word.starts_with('#')) {
            match word.strip_prefix('@').filter(|tag| !tag.is_empty()) {
                Some(tag) => self.tags.push(Tag { line: number, text: tag.to_owned() }),
                None => self.mistake(number, format!("`{word}` stands among tags and is none")),
            }
        }
    }

    fn open(&mut self, number: usize, heading: Heading, name: &str) {
        let tags = std::mem::take(&mut self.tags);
        self.kind = None;
        match heading {
            Heading::Feature => {
                if self.part != Part::Nothing {
                    self.mistake(number, "a document has one feature, at its beginning");
                }
                self.levels = vec![Level { name: name.to_owned(), tags, ..Level::default() }];
                self.part = Part::Feature;
            }
            Heading::Rule => {
                self.levels.truncate(1);
                self.levels.resize_with(1, Level::default);
                self.levels.push(Level { name: name.to_owned(), tags, ..Level::default() });
                self.part = Part::Rule;
            }
            Heading::Background => self.open_background(number, &tags),
            Heading::Scenario | Heading::Outline => {
                let scenario = self.scenario(number, heading == Heading::Outline, name, tags);
                self.scenarios.push(scenario);
                self.part = Part::Scenario;
            }
            Heading::Examples => match self.scenarios.last_mut() {
                Some(scenario) if matches!(self.part, Part::Scenario | Part::Examples) => {
                    let examples = Examples { line: number, tags, rows: Vec::new() };
                    scenario.examples.push(examples);
                    self.part = Part::Examples;
                }
                Some(_) | None => self.mistake(number, "examples stand behind their scenario"),
            },
        }
    }

    fn open_background(&mut self, number: usize, tags: &[Tag]) {
        if let Some(tag) = tags.first() {
            self.mistake(tag.line, "a background has no tags");
        }
        if !matches!(self.part, Part::Nothing | Part::Feature | Part::Rule) {
            self.mistake(number, "a background stands before the scenarios that it is for");
        }
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        self.part = Part::Background;
    }

    fn scenario(&self, line: usize, is_outline: bool, name: &str, tags: Vec<Tag>) -> Scenario {
        let names = self.levels.iter().map(|level| level.name.as_str());
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let outer = self.levels.iter().map(|level| level.tags.clone());
        Scenario {
            line,
            name: name.to_owned(),
            within: names.join(": "),
            tags: outer.chain([tags]).collect(),
            steps: self.levels.iter().flat_map(|level| level.background.clone()).collect(),
            is_outline,
            examples: Vec::new(),
        }
    }

    fn step(&mut self, number: usize, word: Word, text: &str) {
        let kind = match (word, self.kind) {
            (Word::Begins(StepKind::Given | StepKind::When), Some(StepKind::Then)) => {
                self.mistake(number, "conditions stand before actions; begin another scenario");
                StepKind::Given
            }
            (Word::Begins(kind), _) | (Word::GoesOn, Some(kind)) => kind,
            (Word::GoesOn, None) => {
                return self
                    .mistake(number, "what goes on with And or But begins with Given or Then");
            }
        };
        self.kind = Some(kind);
        let step = Step { line: number, kind, text: text.to_owned(), table: Vec::new() };
        match self.part {
            Part::Scenario => self.scenarios.last_mut().into_iter().for_each(|scenario| {
                scenario.steps.push(step.clone());
            }),
            Part::Background if kind == StepKind::Then => {
                self.mistake(number, "a background has conditions only");
            }
            Part::Background => self.levels.last_mut().into_iter().for_each(|level| {
                level.background.push(step.clone());
            }),
            Part::Nothing | Part::Feature | Part::Rule | Part::Examples => {
                self.mistake(number, "a step stands in a scenario or background");
            }
        }
    }

    fn row(&mut self, number: usize, line: &str) {
        let Some(cells) = cells(line) else {
            return self.mistake(number, "a row of a table begins and ends with `|`");
        };
        let row = Row { line: number, cells };
        let scenario = self.scenarios.last_mut();
        let rows = match self.part {
            Part::Scenario => scenario.and_then(|it| it.steps.last_mut()).map(|it| &mut it.table),
            Part::Background => {
                let level = self.levels.last_mut();
                level.and_then(|it| it.background.last_mut()).map(|it| &mut it.table)
            }
            Part::Examples => scenario.and_then(|it| it.examples.last_mut()).map(|it| &mut it.rows),
            Part::Nothing | Part::Feature | Part::Rule => None,
        };
        // A scenario without a step of its own would give its table to the background.
        let Some(rows) = rows.filter(|_| self.kind.is_some() || self.part == Part::Examples) else {
            return self.mistake(number, "a table stands under a step or under examples");
        };
        let columns = rows.first().map_or(row.cells.len(), |first| first.cells.len());
        if columns == row.cells.len() {
            rows.push(row);
        } else {
            let found = row.cells.len();
            self.mistake(number, format!("the table has {columns} columns, this row {found}"));
        }
    }

    fn finish(mut self) -> Vec<Scenario> {
        if let Some(tag) = self.tags.first() {
            self.mistakes.push(Mistake::new(tag.line, "tags stand before what they belong to"));
        }
        std::mem::take(&mut self.scenarios)
    }
}

/// What the word at the beginning of a step says.
#[derive(Clone, Copy)]
enum Word {
    Begins(StepKind),
    GoesOn,
}

fn step(line: &str) -> Option<(Word, &str)> {
    let words = [
        ("Given", Word::Begins(StepKind::Given)),
        ("When", Word::Begins(StepKind::When)),
        ("Then", Word::Begins(StepKind::Then)),
        ("And", Word::GoesOn),
        ("But", Word::GoesOn),
        ("*", Word::GoesOn),
    ];
    let (first, text) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    words.into_iter().find(|(word, _)| *word == first).map(|(_, word)| (word, text.trim()))
}

fn heading(line: &str) -> Option<(Heading, &str)> {
    let (word, name) = line.split_once(':')?;
    HEADINGS.iter().find(|(known, _)| *known == word).map(|(_, heading)| (*heading, name.trim()))
}

/// The cells of a row; `\|` is a bar in one, `\n` the end of a line and `\\` a backslash.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?;
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '|' => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            '\\' => match characters.next() {
                Some('n') => cell.push('\n'),
                Some(next @ ('|' | '\\')) => cell.push(next),
                Some(next) => cell.extend(['\\', next]),
                None => cell.push('\\'),
            },
            other => cell.push(other),
        }
    }
    (cell.trim().is_empty() && !cells.is_empty()).then_some(cells)
}
