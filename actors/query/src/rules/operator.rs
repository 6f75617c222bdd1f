//! How a field is compared.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// They are the same.
    Equals,
    /// They are not the same.
    NotEquals,
    /// The field is less.
    LessThan,
    /// The field is greater.
    GreaterThan,
    /// The field is less, or the same.
    LessOrEqual,
    /// The field is greater, or the same.
    GreaterOrEqual,
    /// The text has this part, or the list this element.
    Contains,
    /// The text has no such part, or the list no such element.
    NotContains,
    /// The text begins so.
    StartsWith,
    /// The text ends so.
    EndsWith,
    /// The regular expression is found in the text.
    Regex,
    /// It is an element of the list.
    In,
    /// It is no element of the list.
    NotIn,
    /// Whether the field is there at all.
    Exists,
}

/// What an operator can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Value,
    Ordered,
    Text,
    Pattern,
    List,
    Flag,
}

impl Takes {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::Ordered => "a number or text",
            Self::Text => "text",
            Self::Pattern => "a regular expression",
            Self::List => "a list",
            Self::Flag => "true or false",
        }
    }

    pub(super) fn admits(self, value: &Value) -> bool {
        match self {
            Self::Value => true,
            Self::Ordered => value.is_number() || value.is_string(),
            Self::Text | Self::Pattern => value.is_string(),
            Self::List => value.is_array(),
            Self::Flag => value.is_boolean(),
        }
    }
}

impl Operator {
    /// All of them, with their names in documents.
    pub const NAMED: [(&str, Self); 14] = [
        ("equals", Self::Equals),
        ("not_equals", Self::NotEquals),
        ("greater_than", Self::GreaterThan),
        ("less_than", Self::LessThan),
        ("greater_or_equal", Self::GreaterOrEqual),
        ("less_or_equal", Self::LessOrEqual),
        ("contains", Self::Contains),
        ("not_contains", Self::NotContains),
        ("starts_with", Self::StartsWith),
        ("ends_with", Self::EndsWith),
        ("regex", Self::Regex),
        ("in", Self::In),
        ("not_in", Self::NotIn),
        ("exists", Self::Exists),
    ];

    /// The operator of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(name, _)| *name == text).map(|(_, operator)| operator)
    }

    /// The name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(_, operator)| *operator == self);
        named.map_or("", |(name, _)| name)
    }

    /// Whether it passes for a field that is not there: what is not there equals, contains and is in nothing.
    #[must_use]
    pub const fn passes_without_field(self) -> bool {
        match self {
            Self::NotEquals | Self::NotContains | Self::NotIn => true,
            Self::Equals
            | Self::LessThan
            | Self::GreaterThan
            | Self::LessOrEqual
            | Self::GreaterOrEqual
            | Self::Contains
            | Self::StartsWith
            | Self::EndsWith
            | Self::Regex
            | Self::In
            | Self::Exists => false,
        }
    }

    pub(super) const fn takes(self) -> Takes {
        match self {
            Self::Equals | Self::NotEquals | Self::Contains | Self::NotContains => Takes::Value,
            Self::LessThan | Self::GreaterThan | Self::LessOrEqual | Self::GreaterOrEqual => {
                Takes::Ordered
            }
            Self::StartsWith | Self::EndsWith => Takes::Text,
            Self::Regex => Takes::Pattern,
            Self::In | Self::NotIn => Takes::List,
            Self::Exists => Takes::Flag,
        }
    }
}
