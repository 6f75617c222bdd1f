//! How risky something is, from the factors that were found.
//!
//! Each factor is taken as an independent chance that something is wrong, with a weight by its severity: 0.1
//! low, 0.3 medium, 0.6 high, 0.9 critical. The score is the chance that at least one of them is right:
//! 1 − (1 − w₁)(1 − w₂)…, so that it is 0 without factors, grows with each one and never reaches 1. Below
//! 0.4 it is approved, from 0.8 it is blocked, and between them a person looks at it. One critical factor
//! blocks alone, so do two high ones; a high one alone, two medium or five low ones are reviewed.

use serde::{Deserialize, Serialize};

/// The score from which a person looks at it.
pub const REVIEW_FROM: f64 = 0.4;
/// The score from which it is blocked.
pub const BLOCK_FROM: f64 = 0.8;

/// How much a factor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Little by itself.
    Low,
    /// Something.
    Medium,
    /// More likely than not that something is wrong.
    High,
    /// Almost certainly something is wrong.
    Critical,
}

impl Severity {
    /// The chance that something is wrong, given this factor alone; 0 to 1.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::Low => 0.1,
            Self::Medium => 0.3,
            Self::High => 0.6,
            Self::Critical => 0.9,
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// For people.
    pub name: String,
    /// How much it says.
    pub severity: Severity,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It goes through.
    Approve,
    /// A person looks at it.
    Review,
    /// It is stopped.
    Block,
}

/// What factors come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// 0 to 1.
    pub score: f64,
    /// What follows from it.
    pub decision: Decision,
}

/// What `factors` come to; their order does not matter.
#[must_use]
pub fn assess(factors: &[Factor]) -> Assessment {
    let mut weights: Vec<f64> = factors.iter().map(|factor| factor.severity.weight()).collect();
    // Rounding depends on the order of a product; the score shall not.
    weights.sort_by(f64::total_cmp);
    let nothing_wrong: f64 = weights.iter().map(|weight| 1.0 - weight).product();
    let score = 1.0 - nothing_wrong;
    let decision = match score {
        score if score >= BLOCK_FROM => Decision::Block,
        score if score >= REVIEW_FROM => Decision::Review,
        _ => Decision::Approve,
    };
    Assessment { score, decision }
}
