//! Which rows may be read: a small language of conditions on a row and on who asks.
//!
//! ```text
//! team = ANY(identity.teams) AND (season >= 2020 OR player = identity.name)
//! ```
//!
//! Columns are written as the file has them, in double quotes where they are not a letter followed by letters,
//! digits and underscores. A condition is read here, by the node that checks its configuration as by the process
//! that applies it; it is never put into the text of a query.

mod token;

use std::fmt;

use token::{Token, tokens};

/// Conditions within conditions, at most.
const DEPTH: u32 = 32;

/// What must hold of a row. Where a value is missing it does not hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// For every row, or for none.
    Always(bool),
    /// The comparison of two values.
    Compare(Operand, Comparison, Operand),
    /// The value is one of these.
    OneOf(Operand, Vec<Operand>),
    /// The value is one of the teams of who asks, or they are of all teams.
    OfTeams(Operand),
    /// There is no value.
    Missing(Operand),
    /// The condition does not hold.
    Not(Box<Condition>),
    /// All of them hold.
    All(Vec<Condition>),
    /// One of them holds.
    Any(Vec<Condition>),
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// What the row has in the column of this name.
    Column(String),
    /// The name of who asks.
    Name,
    /// Their role.
    Role,
    /// This text.
    Text(String),
    /// This number.
    Integer(i64),
    /// This number.
    Number(f64),
    /// This.
    Boolean(bool),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>` or `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no condition: {why} at character {at}")]
pub struct ConditionError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub why: String,
    /// Where, from 1.
    pub at: usize,
}

impl Condition {
    /// The columns that it looks at.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Always(_) => Vec::new(),
            Self::Compare(left, _, right) => {
                left.column().into_iter().chain(right.column()).collect()
            }
            Self::OneOf(operand, others) => operand
                .column()
                .into_iter()
                .chain(others.iter().filter_map(Operand::column))
                .collect(),
            Self::OfTeams(operand) | Self::Missing(operand) => {
                operand.column().into_iter().collect()
            }
            Self::Not(inner) => inner.columns(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::columns).collect(),
        }
    }
}

impl Operand {
    fn column(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            Self::Name
            | Self::Role
            | Self::Text(_)
            | Self::Integer(_)
            | Self::Number(_)
            | Self::Boolean(_) => None,
        }
    }
}

/// Reads a condition.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(text: &str) -> Result<Condition, ConditionError> {
    let refuse = |(at, why): Wrong| ConditionError { text: text.to_owned(), why, at: at + 1 };
    let tokens = tokens(text).map_err(refuse)?;
    let end = text.chars().count();
    let mut parser = Parser { tokens: &tokens, at: 0, end };
    let condition = parser.any(0).map_err(refuse)?;
    match parser.peek() {
        None => Ok(condition),
        Some(token) => Err(refuse(parser.wrong(format!("{token} stands behind its end")))),
    }
}

/// Where something is wrong, in characters from 0, and what.
type Wrong = (usize, String);

struct Parser<'a> {
    tokens: &'a [(usize, Token)],
    at: usize,
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn wrong(&self, why: impl Into<String>) -> Wrong {
        (self.tokens.get(self.at).map_or(self.end, |(place, _)| *place), why.into())
    }

    /// What was expected, and what stands there instead.
    fn expected(&self, what: &str) -> Wrong {
        let found = self.peek().map_or("its end".to_owned(), Token::to_string);
        self.wrong(format!("{what} is expected, not {found}"))
    }

    /// Takes the token if it is next.
    fn takes(&mut self, wanted: &Token) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn must_take(&mut self, wanted: &Token) -> Result<(), Wrong> {
        if self.takes(wanted) { Ok(()) } else { Err(self.expected(&wanted.to_string())) }
    }

    /// Takes the word if it is next; words of the language are not told apart by the size of their letters.
    fn takes_word(&mut self, wanted: &str) -> bool {
        let is_next =
            matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self, depth: u32) -> Result<Condition, Wrong> {
        let mut parts = vec![self.all(depth)?];
        while self.takes_word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(only(parts, Condition::Any))
    }

    fn all(&mut self, depth: u32) -> Result<Condition, Wrong> {
        let mut parts = vec![self.one(depth)?];
        while self.takes_word("and") {
            parts.push(self.one(depth)?);
        }
        Ok(only(parts, Condition::All))
    }

    fn one(&mut self, depth: u32) -> Result<Condition, Wrong> {
        if depth > DEPTH {
            return Err(self.wrong("too many conditions stand within each other"));
        }
        if self.takes_word("not") {
            return Ok(Condition::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes(&Token::Open) {
            let inner = self.any(depth + 1)?;
            self.must_take(&Token::Close)?;
            return Ok(inner);
        }
        let left = self.operand()?;
        self.about(left)
    }

    /// What is said of `left`.
    fn about(&mut self, left: Operand) -> Result<Condition, Wrong> {
        if self.takes_word("is") {
            let negated = self.takes_word("not");
            if !self.takes_word("null") {
                return Err(self.expected("NULL"));
            }
            let missing = Condition::Missing(left);
            return Ok(if negated { Condition::Not(Box::new(missing)) } else { missing });
        }
        let negated = self.takes_word("not");
        if self.takes_word("in") {
            let one_of = self.one_of(left)?;
            return Ok(if negated { Condition::Not(Box::new(one_of)) } else { one_of });
        }
        if negated {
            return Err(self.expected("IN"));
        }
        let Some(Token::Comparison(comparison)) = self.peek().cloned() else {
            return match left {
                Operand::Boolean(holds) => Ok(Condition::Always(holds)),
                Operand::Column(_)
                | Operand::Name
                | Operand::Role
                | Operand::Text(_)
                | Operand::Integer(_)
                | Operand::Number(_) => Err(self.expected("a comparison")),
            };
        };
        self.at += 1;
        if self.takes_word("any") {
            return self.any_of(left, comparison);
        }
        Ok(Condition::Compare(left, comparison, self.operand()?))
    }

    fn any_of(&mut self, left: Operand, comparison: Comparison) -> Result<Condition, Wrong> {
        if comparison != Comparison::Equal {
            return Err(self.wrong("only `= ANY(identity.teams)` is known"));
        }
        self.must_take(&Token::Open)?;
        if !(self.takes_word("identity") && self.takes(&Token::Dot) && self.takes_word("teams")) {
            return Err(self.expected("identity.teams"));
        }
        self.must_take(&Token::Close)?;
        Ok(Condition::OfTeams(left))
    }

    fn one_of(&mut self, left: Operand) -> Result<Condition, Wrong> {
        self.must_take(&Token::Open)?;
        let mut others = vec![self.operand()?];
        while self.takes(&Token::Comma) {
            others.push(self.operand()?);
        }
        self.must_take(&Token::Close)?;
        Ok(Condition::OneOf(left, others))
    }

    fn operand(&mut self) -> Result<Operand, Wrong> {
        if self.takes_word("identity") {
            return self.of_identity();
        }
        let operand = match self.peek().cloned() {
            Some(Token::Quoted(name)) => Operand::Column(name),
            Some(Token::Text(text)) => Operand::Text(text),
            Some(Token::Integer(number)) => Operand::Integer(number),
            Some(Token::Number(number)) => Operand::Number(number),
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "true" => Operand::Boolean(true),
                "false" => Operand::Boolean(false),
                "and" | "or" | "not" | "in" | "is" | "any" | "null" => {
                    return Err(self.expected("a column or a value"));
                }
                _ => Operand::Column(word),
            },
            Some(Token::Open | Token::Close | Token::Comma | Token::Dot | Token::Comparison(_))
            | None => return Err(self.expected("a column or a value")),
        };
        self.at += 1;
        Ok(operand)
    }

    fn of_identity(&mut self) -> Result<Operand, Wrong> {
        self.must_take(&Token::Dot)?;
        if self.takes_word("name") {
            Ok(Operand::Name)
        } else if self.takes_word("role") {
            Ok(Operand::Role)
        } else {
            let known = "identity.name, identity.role, or identity.teams within ANY( )";
            Err(self.expected(known))
        }
    }
}

fn only(mut parts: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(part) if parts.is_empty() => part,
        Some(part) => {
            parts.push(part);
            many(parts)
        }
        None => Condition::Always(false),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

#[cfg(test)]
mod tests;
