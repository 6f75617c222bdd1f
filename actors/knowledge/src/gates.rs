//! Whether there is enough to answer from, and whether an answer is sure enough. Pure.

use serde::{Deserialize, Serialize};

/// What answers from documents are held to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// Chunks that are asked for, 1 to 100.
    pub top_k: u32,
    /// Fewer chunks are too few to answer from; at most `top_k`.
    pub min_chunks: u32,
    /// An answer that is less sure is not given, 0 to 1.
    pub confidence: f64,
    /// Characters of chunks that a model is given, at least 100.
    pub max_context: u32,
    /// What a model is asked for as its temperature, 0 to 2.
    pub temperature: f64,
}

impl Default for Gates {
    fn default() -> Self {
        Self { top_k: 10, min_chunks: 2, confidence: 0.7, max_context: 4000, temperature: 0.1 }
    }
}

/// A change of some of [`Gates`]; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatesUpdate {
    /// As in [`Gates`].
    pub top_k: Option<u32>,
    /// As in [`Gates`].
    pub min_chunks: Option<u32>,
    /// As in [`Gates`].
    pub confidence: Option<f64>,
    /// As in [`Gates`].
    pub max_context: Option<u32>,
    /// As in [`Gates`].
    pub temperature: Option<f64>,
}

/// What a gate says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Give no answer, for this reason.
    Abstain(String),
}

impl Gates {
    /// What is wrong with the values: the name of each, and why.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(1..=100).contains(&self.top_k) {
            problems.push(("top_k", format!("must be 1 to 100, not {}", self.top_k)));
        }
        if self.min_chunks > self.top_k {
            let why = format!("must be at most top_k ({}), not {}", self.top_k, self.min_chunks);
            problems.push(("min_chunks", why));
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            problems.push(("confidence", format!("must be 0 to 1, not {}", self.confidence)));
        }
        if self.max_context < 100 {
            let why = format!("must be at least 100, not {}", self.max_context);
            problems.push(("max_context", why));
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            problems.push(("temperature", format!("must be 0 to 2, not {}", self.temperature)));
        }
        problems
    }

    /// The gates after `update`.
    ///
    /// # Errors
    ///
    /// What is wrong with the result, as [`problems`](Self::problems) says it; nothing has changed then.
    pub fn updated(&self, update: &GatesUpdate) -> Result<Self, Vec<(&'static str, String)>> {
        let updated = Self {
            top_k: update.top_k.unwrap_or(self.top_k),
            min_chunks: update.min_chunks.unwrap_or(self.min_chunks),
            confidence: update.confidence.unwrap_or(self.confidence),
            max_context: update.max_context.unwrap_or(self.max_context),
            temperature: update.temperature.unwrap_or(self.temperature),
        };
        let problems = updated.problems();
        if problems.is_empty() { Ok(updated) } else { Err(problems) }
    }

    /// Whether as many chunks are enough to answer from.
    #[must_use]
    pub fn retrieval(&self, chunks: usize) -> Verdict {
        if u32::try_from(chunks).unwrap_or(u32::MAX) >= self.min_chunks {
            return Verdict::Pass;
        }
        let wanted = self.min_chunks;
        Verdict::Abstain(format!("{chunks} relevant passages were found, and {wanted} are needed"))
    }

    /// Whether an answer of this confidence may be given. One that is no number is not sure at all.
    #[must_use]
    pub fn generation(&self, confidence: f64) -> Verdict {
        if confidence >= self.confidence {
            return Verdict::Pass;
        }
        let wanted = self.confidence;
        Verdict::Abstain(format!("the answer's confidence is {confidence}, and {wanted} is needed"))
    }

    /// How many of these chunks, in order and whole, a model may be given.
    #[must_use]
    pub fn within_context<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> usize {
        let most = usize::try_from(self.max_context).unwrap_or(usize::MAX);
        let mut characters = 0;
        let fits = |text: &&str| {
            characters += text.chars().count();
            characters <= most
        };
        texts.into_iter().take_while(fits).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acceptance case C12.
    #[test]
    fn one_chunk_is_too_few_and_sixty_nine_percent_too_unsure() {
        let gates = Gates::default();
        assert!(
            matches!(gates.retrieval(1), Verdict::Abstain(why) if why.contains("2 are needed"))
        );
        assert_eq!(gates.retrieval(2), Verdict::Pass);
        assert!(matches!(gates.generation(0.69), Verdict::Abstain(why) if why.contains("0.69")));
        assert_eq!(gates.generation(0.70), Verdict::Pass);
        assert!(matches!(gates.generation(f64::NAN), Verdict::Abstain(_)));
    }

    /// Acceptance case C14.
    #[test]
    fn values_that_make_no_sense_are_refused_by_name() {
        let refused = |update: GatesUpdate| {
            let problems = Gates::default().updated(&update).unwrap_err();
            problems.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let none = GatesUpdate::default;
        assert_eq!(refused(GatesUpdate { min_chunks: Some(11), ..none() }), ["min_chunks"]);
        assert_eq!(refused(GatesUpdate { confidence: Some(1.2), ..none() }), ["confidence"]);
        assert_eq!(refused(GatesUpdate { confidence: Some(f64::NAN), ..none() }), ["confidence"]);
        assert_eq!(refused(GatesUpdate { temperature: Some(2.1), ..none() }), ["temperature"]);
        assert_eq!(refused(GatesUpdate { max_context: Some(99), ..none() }), ["max_context"]);
        assert_eq!(refused(GatesUpdate { top_k: Some(0), ..none() }), ["top_k", "min_chunks"]);
    }

    /// Acceptance case C14.
    #[test]
    fn an_update_of_one_value_keeps_the_others() {
        let gates = Gates { top_k: 20, min_chunks: 3, confidence: 0.5, ..Gates::default() };
        let update = GatesUpdate { temperature: Some(1.0), ..GatesUpdate::default() };
        assert_eq!(gates.updated(&update).unwrap(), Gates { temperature: 1.0, ..gates });
    }

    #[test]
    fn a_model_is_given_whole_chunks_as_long_as_they_fit() {
        let gates = Gates { max_context: 100, ..Gates::default() };
        let (long, short) = ("x".repeat(60), "y".repeat(40));
        assert_eq!(gates.within_context([long.as_str(), &short, "z"]), 2);
        assert_eq!(gates.within_context([long.as_str(), &long, "z"]), 1);
    }
}
