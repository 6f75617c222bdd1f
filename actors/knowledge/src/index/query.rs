//! What a person wrote, as words and phrases to look for. There is no syntax in it but pairs of double quotes,
//! so nothing that is written can be wrong.

use tantivy::Term;
use tantivy::query::{
    BooleanQuery, ConstScoreQuery, Occur, PhraseQuery, Query, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::TextAnalyzer;

use super::{Fields, Scope};

/// Different words that are looked for in one search.
const MOST_WORDS: usize = 64;

/// The words and phrases of a query, as the index has them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Words {
    /// Each makes a chunk better.
    pub(super) any: Vec<String>,
    /// Each must be in a chunk, word after word.
    pub(super) phrases: Vec<Vec<(usize, String)>>,
    /// How many more there were.
    pub(super) dropped: usize,
}

/// Finds the words of `query`. What stands between two double quotes is a phrase.
pub(super) fn words(query: &str, analyser: &mut TextAnalyzer) -> Words {
    let mut words = Words::default();
    let mut taken = 0;
    let parts: Vec<&str> = query.split(['"', '“', '”', '„']).collect();
    for (at, part) in parts.iter().enumerate() {
        let mut tokens = Vec::new();
        analyser
            .token_stream(part)
            .process(&mut |token| tokens.push((token.position, token.text.clone())));
        // A quote that is not closed begins no phrase.
        if at % 2 == 1 && at + 1 < parts.len() {
            let room = MOST_WORDS.saturating_sub(taken);
            words.dropped += tokens.len().saturating_sub(room);
            tokens.truncate(room);
            taken += tokens.len();
            words.phrases.extend((!tokens.is_empty()).then_some(tokens));
            continue;
        }
        for (_, token) in tokens {
            if words.any.contains(&token) {
                continue;
            }
            if taken == MOST_WORDS {
                words.dropped += 1;
            } else {
                taken += 1;
                words.any.push(token);
            }
        }
    }
    words
}

impl Words {
    pub(super) const fn is_empty(&self) -> bool {
        self.any.is_empty() && self.phrases.is_empty()
    }

    /// The query for the index, if there is anything to look for.
    pub(super) fn query(&self, field: Field) -> Option<Box<dyn Query>> {
        let term = |word: &str| Term::from_field_text(field, word);
        let single = |word: &str| -> Box<dyn Query> {
            Box::new(TermQuery::new(term(word), IndexRecordOption::WithFreqs))
        };
        let any = self.any.iter().map(|word| (Occur::Should, single(word)));
        let phrases = self.phrases.iter().map(|phrase| match phrase.as_slice() {
            [(_, word)] => (Occur::Must, single(word)),
            several => {
                let terms =
                    several.iter().map(|(position, word)| (*position, term(word))).collect();
                let phrase: Box<dyn Query> = Box::new(PhraseQuery::new_with_offset(terms));
                (Occur::Must, phrase)
            }
        });
        let clauses: Vec<_> = any.chain(phrases).collect();
        (!clauses.is_empty()).then(|| -> Box<dyn Query> { Box::new(BooleanQuery::new(clauses)) })
    }
}

/// What stands for a team in the index. A team without a name is not the same as no team.
pub(super) fn team(team: Option<&str>) -> String {
    team.map_or_else(|| "nobody".to_owned(), |team| format!("team {team}"))
}

/// What stands for an entry of metadata in the index. No two of them look alike.
pub(super) fn pair(name: &str, value: &str) -> String {
    format!("{} {name} {value}", name.len())
}

/// The same query, within `scope` only. What the scope leaves out takes no place among the best, for it is part
/// of the query.
pub(super) fn within(query: Box<dyn Query>, fields: Fields, scope: &Scope) -> Box<dyn Query> {
    let Scope { teams, documents, team: one, metadata } = scope;
    let mut filters: Vec<(Field, Vec<String>)> = Vec::new();
    filters.extend(teams.as_ref().map(|teams| {
        let seen = teams.iter().map(|name| team(Some(name))).chain([team(None)]);
        (fields.team, seen.collect())
    }));
    filters.extend(
        documents.as_ref().map(|documents| {
            (fields.document, documents.iter().map(ToString::to_string).collect())
        }),
    );
    filters.extend(one.as_ref().map(|name| (fields.team, vec![team(Some(name))])));
    filters.extend(metadata.iter().map(|(name, value)| (fields.metadata, vec![pair(name, value)])));
    if filters.is_empty() {
        return query;
    }
    let filters = filters.into_iter().map(|(field, texts)| -> (Occur, Box<dyn Query>) {
        let terms = texts.iter().map(|text| Term::from_field_text(field, text));
        (Occur::Must, Box::new(ConstScoreQuery::new(Box::new(TermSetQuery::new(terms)), 0.0)))
    });
    Box::new(BooleanQuery::new([(Occur::Must, query)].into_iter().chain(filters).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::analyser;
    use super::*;

    fn of(query: &str) -> Words {
        words(query, &mut analyser())
    }

    fn phrase(words: &[(usize, &str)]) -> Vec<(usize, String)> {
        words.iter().map(|(at, word)| (*at, (*word).to_owned())).collect()
    }

    #[test]
    fn marks_are_no_syntax_and_words_are_brought_to_their_stems() {
        assert_eq!(
            of("+Restarted -pumps! (title:Café) ^2 ~ AND").any,
            ["restart", "pump", "titl", "cafe", "2", "and"]
        );
        assert!(of("*?:\\/ \"\" [] {}").is_empty());
    }

    #[test]
    fn what_is_quoted_is_a_phrase_and_an_open_quote_is_not() {
        let found = of("one \"two three\" four “five”");
        assert_eq!(found.any, ["one", "four"]);
        assert_eq!(found.phrases, [phrase(&[(0, "two"), (1, "three")]), phrase(&[(0, "five")])]);
        assert_eq!(of("12\" pipe").phrases, Vec::<Vec<(usize, String)>>::new());
    }

    #[test]
    fn words_beyond_the_bound_are_counted() {
        let many: Vec<String> = (0..100).map(|number| format!("w{number}")).collect();
        let found = of(&many.join(" "));
        assert_eq!((found.any.len(), found.dropped), (64, 36));
        let found = of(&format!("\"{}\"", many.join(" ")));
        assert_eq!((found.phrases[0].len(), found.dropped), (64, 36));
    }
}
