//! The text of one PDF page. Operators that place and show text are followed (ISO 32000-1, chapter 9), so that
//! spaces and lines that are only gaps on the page become spaces and lines.

use std::collections::BTreeMap;
use std::rc::Rc;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Object, ObjectId};

use super::MOST_UNPACKED;
use super::font::Font;

/// A gap of more than this share of the size is a space.
const SPACE: f64 = 0.15;
/// Text that is more than this share of the size higher or lower is on another line.
const LINE: f64 = 0.5;
/// And more than this many sizes away, it is another paragraph.
const PARAGRAPH: f64 = 1.8;
/// Forms within forms that are followed.
const MOST_NESTED: usize = 8;
/// Fonts of one document that are read.
const MOST_FONTS: usize = 2000;
/// Forms that are followed in one document, and characters that are kept of it.
const MOST_FORMS: usize = 20_000;
const MOST_CHARACTERS: usize = 16 << 20;
/// Saved states at a time.
const MOST_SAVED: usize = 512;

/// What may still be read of one document, and the fonts that were.
pub(super) struct Budget<'a> {
    /// By where they lie in memory.
    fonts: BTreeMap<usize, Rc<Font<'a>>>,
    forms: usize,
    unpacked: usize,
    characters: usize,
}

impl Default for Budget<'_> {
    fn default() -> Self {
        let fonts = BTreeMap::new();
        Self { fonts, forms: MOST_FORMS, unpacked: 8 * MOST_UNPACKED, characters: MOST_CHARACTERS }
    }
}

impl<'a> Budget<'a> {
    pub(super) fn is_spent(&self) -> bool {
        let fonts = self.fonts.len() >= MOST_FONTS;
        fonts || self.forms == 0 || self.unpacked == 0 || self.characters == 0
    }

    fn font(&mut self, document: &'a Document, font: &'a Dictionary) -> Rc<Font<'a>> {
        let place = std::ptr::from_ref(font).addr();
        let made = self.fonts.entry(place).or_insert_with(|| Rc::new(Font::new(document, font)));
        Rc::clone(made)
    }
}

/// What was read of a page.
pub(super) struct Text {
    pub(super) text: String,
    /// Whether there is more that cannot be read.
    pub(super) damaged: bool,
}

/// The text of a page: lines, and an empty line between paragraphs.
pub(super) fn text<'d>(
    document: &'d Document,
    page: ObjectId,
    budget: &mut Budget<'d>,
) -> Result<Text, String> {
    let content = document.get_page_content_with_limit(page, MOST_UNPACKED);
    let content = content.map_err(|error| error.to_string())?;
    let fonts = document.get_page_fonts(page).map_err(|error| error.to_string())?;
    let (own, inherited) = document.get_page_resources(page).map_err(|error| error.to_string())?;
    let inherited = inherited.into_iter().filter_map(|id| document.get_dictionary(id).ok());
    let resources: Vec<&Dictionary> = own.into_iter().chain(inherited).collect();
    budget.unpacked = budget.unpacked.saturating_sub(content.len());
    let resources = Resources::new(document, fonts, &resources);
    let mut reader = Reader { document, budget, out: String::new(), last: None, damaged: false };
    reader.run(&content, &resources, Matrix::UNIT, 0);
    Ok(Text { text: reader.out, damaged: reader.damaged })
}

/// What names in a content stream stand for.
struct Resources<'a> {
    fonts: BTreeMap<Vec<u8>, &'a Dictionary>,
    objects: Vec<&'a Dictionary>,
}

impl<'a> Resources<'a> {
    fn new(
        document: &'a Document,
        fonts: BTreeMap<Vec<u8>, &'a Dictionary>,
        resources: &[&'a Dictionary],
    ) -> Self {
        let objects =
            resources.iter().filter_map(|resources| dictionary(document, resources, b"XObject"));
        Self { fonts, objects: objects.collect() }
    }

    /// The resources of a form.
    fn of(document: &'a Document, resources: &'a Dictionary) -> Self {
        let fonts = dictionary(document, resources, b"Font").into_iter().flat_map(Dictionary::iter);
        let fonts = fonts.filter_map(|(name, font)| {
            let (_, font) = document.dereference(font).ok()?;
            Some((name.clone(), font.as_dict().ok()?))
        });
        Self::new(document, fonts.collect(), &[resources])
    }
}

fn dictionary<'a>(
    document: &'a Document,
    dictionary: &'a Dictionary,
    key: &[u8],
) -> Option<&'a Dictionary> {
    let (_, value) = document.dereference(dictionary.get(key).ok()?).ok()?;
    value.as_dict().ok()
}

/// A transformation of the plane, as PDF writes it: a, b, c, d, e, f.
#[derive(Clone, Copy)]
struct Matrix([f64; 6]);

impl Matrix {
    const UNIT: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    fn read(operands: &[Object]) -> Option<Self> {
        let mut matrix = [0.0; 6];
        for (value, operand) in matrix.iter_mut().zip(operands) {
            *value = number(operand);
        }
        (operands.len() == 6).then_some(Self(matrix))
    }

    const fn moved(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// This one, then `next`.
    fn then(self, next: Self) -> Self {
        let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (self.0, next.0);
        Self([
            a * g + b * i,
            a * h + b * j,
            c * g + d * i,
            c * h + d * j,
            e * g + f * i + k,
            e * h + f * j + l,
        ])
    }
}

fn number(object: &Object) -> f64 {
    object.as_float().map_or(0.0, f64::from)
}

/// What operators change.
#[derive(Clone)]
struct State<'a> {
    page: Matrix,
    text: Matrix,
    line: Matrix,
    font: Option<Rc<Font<'a>>>,
    size: f64,
    leading: f64,
    character_space: f64,
    word_space: f64,
    scale: f64,
}

/// Where the last text ended.
#[derive(Clone, Copy)]
struct End {
    x: f64,
    y: f64,
}

struct Reader<'d, 'b> {
    document: &'d Document,
    budget: &'b mut Budget<'d>,
    out: String,
    last: Option<End>,
    damaged: bool,
}

impl<'d> Reader<'d, '_> {
    fn run(&mut self, content: &[u8], resources: &Resources<'d>, page: Matrix, depth: usize) {
        let mut state = State {
            page,
            text: Matrix::UNIT,
            line: Matrix::UNIT,
            font: None,
            size: 1.0,
            leading: 0.0,
            character_space: 0.0,
            word_space: 0.0,
            scale: 1.0,
        };
        let mut saved = Vec::new();
        for operation in Content::decode_iter(content) {
            if self.budget.is_spent() {
                return;
            }
            let Ok(operation) = operation else {
                self.damaged = true;
                return;
            };
            match operation.operator.as_str() {
                "q" if saved.len() < MOST_SAVED => saved.push(state.clone()),
                "Q" => state = saved.pop().unwrap_or(state),
                "Do" => self.form(&operation, resources, state.page, depth),
                "Tj" | "TJ" | "'" | "\"" => self.show(&operation, &mut state),
                "Tf" => self.font(&operation, &mut state, resources),
                _ => state.apply(&operation),
            }
        }
    }

    fn font(&mut self, operation: &Operation, state: &mut State<'d>, resources: &Resources<'d>) {
        let name = operation.operands.first().and_then(|name| name.as_name().ok());
        let font = name.and_then(|name| resources.fonts.get(name));
        state.font = font.map(|font| self.budget.font(self.document, font));
        state.size = operation.operands.get(1).map_or(0.0, number);
    }

    fn form(&mut self, operation: &Operation, outer: &Resources<'d>, page: Matrix, depth: usize) {
        let name = operation.operands.first().and_then(|name| name.as_name().ok());
        let object = name.and_then(|name| {
            let mut found = outer.objects.iter().filter_map(|objects| objects.get(name).ok());
            self.document.dereference(found.next()?).ok()?.1.as_stream().ok()
        });
        let Some(form) = object.filter(|_| depth < MOST_NESTED) else { return };
        if form.dict.get(b"Subtype").and_then(Object::as_name).ok() != Some(b"Form") {
            return;
        }
        self.budget.forms = self.budget.forms.saturating_sub(1);
        let Ok(content) = form.decompressed_content_with_limit(MOST_UNPACKED) else {
            self.damaged = true;
            return;
        };
        self.budget.unpacked = self.budget.unpacked.saturating_sub(content.len());
        let matrix = form.dict.get(b"Matrix").and_then(Object::as_array).ok();
        let matrix = matrix.and_then(|matrix| Matrix::read(matrix)).unwrap_or(Matrix::UNIT);
        let page = matrix.then(page);
        match dictionary(self.document, &form.dict, b"Resources") {
            Some(own) => {
                self.run(&content, &Resources::of(self.document, own), page, depth + 1);
            }
            None => self.run(&content, outer, page, depth + 1),
        }
    }

    /// Shows what the operands hold: strings, and adjustments in thousandths of the size.
    fn show(&mut self, operation: &Operation, state: &mut State<'d>) {
        if matches!(operation.operator.as_str(), "'" | "\"") {
            state.next_line(0.0, -state.leading);
        }
        let Some(shown) = operation.operands.last() else { return };
        let single = std::slice::from_ref(shown);
        for part in shown.as_array().map_or(single, Vec::as_slice) {
            match part.as_str() {
                Ok(bytes) => self.string(bytes, state),
                Err(_) => state.advance(-number(part) / 1000.0 * state.size * state.scale),
            }
        }
    }

    fn string(&mut self, bytes: &[u8], state: &mut State<'d>) {
        let Some(font) = state.font.clone() else { return };
        let [_, _, c, d, x, y] = state.text.then(state.page).0;
        let size = (state.size * c.hypot(d)).abs();
        self.gap(x, y, size);
        let text = font.decode(bytes);
        let taken = text.chars().take(self.budget.characters);
        let text: String = taken.filter(|c| *c != '\0').collect();
        self.budget.characters = self.budget.characters.saturating_sub(text.chars().count());
        self.out.push_str(&text);
        let (width, codes, spaces) = font.measure(bytes);
        let (codes, spaces) = (count(codes), count(spaces));
        let extra = codes * state.character_space + spaces * state.word_space;
        state.advance((width / 1000.0 * state.size + extra) * state.scale);
        let [.., x, y] = state.text.then(state.page).0;
        self.last = Some(End { x, y });
    }

    /// Writes what lies between the last text and text at `x`, `y`.
    fn gap(&mut self, x: f64, y: f64, size: f64) {
        let Some(last) = self.last else { return };
        let down = (y - last.y).abs();
        if down > PARAGRAPH * size {
            self.out.push_str("\n\n");
        } else if down > LINE * size {
            self.out.push('\n');
        } else if (x - last.x > SPACE * size || last.x - x > size)
            && !self.out.ends_with(char::is_whitespace)
        {
            self.out.push(' ');
        }
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

impl State<'_> {
    fn advance(&mut self, by: f64) {
        self.text = Matrix::moved(by, 0.0).then(self.text);
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = Matrix::moved(x, y).then(self.line);
        self.text = self.line;
    }

    /// Follows an operator that shows nothing.
    fn apply(&mut self, operation: &Operation) {
        let operands = &operation.operands;
        let value = |at: usize| operands.get(at).map_or(0.0, number);
        match operation.operator.as_str() {
            "cm" => {
                let matrix = Matrix::read(operands).unwrap_or(Matrix::UNIT);
                self.page = matrix.then(self.page);
            }
            "BT" => (self.text, self.line) = (Matrix::UNIT, Matrix::UNIT),
            "Tm" => {
                self.line = Matrix::read(operands).unwrap_or(self.line);
                self.text = self.line;
            }
            "Td" => self.next_line(value(0), value(1)),
            "TD" => {
                self.leading = -value(1);
                self.next_line(value(0), value(1));
            }
            "T*" => self.next_line(0.0, -self.leading),
            "TL" => self.leading = value(0),
            "Tc" => self.character_space = value(0),
            "Tw" => self.word_space = value(0),
            "Tz" => self.scale = value(0) / 100.0,
            _ => {}
        }
    }
}
