//! Joins rankings into one. Pure.

use std::collections::BTreeMap;

/// The constant of reciprocal rank fusion, as its authors chose it.
pub const K: f64 = 60.0;

/// Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): what stands at rank `r`, from 1, in a
/// ranking gains `1 / (k + r)`. The best first; of equals, the one that an earlier ranking has earlier. What a
/// ranking has twice counts where it stands first.
#[must_use]
pub fn fuse<Id: Clone + Ord>(rankings: &[Vec<Id>], k: f64) -> Vec<(Id, f64)> {
    // Of each: its score, and the number in which it was first met.
    let mut scores: BTreeMap<Id, (f64, usize)> = BTreeMap::new();
    let mut met = 0;
    for ranking in rankings {
        let mut seen = std::collections::BTreeSet::new();
        for id in ranking {
            if !seen.insert(id) {
                continue;
            }
            let rank = f64::from(u32::try_from(seen.len()).unwrap_or(u32::MAX));
            let entry = scores.entry(id.clone()).or_insert((0.0, met));
            entry.0 += 1.0 / (k + rank);
            met += 1;
        }
    }
    let mut fused: Vec<(Id, (f64, usize))> = scores.into_iter().collect();
    fused.sort_by(|(_, a), (_, b)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    fused.into_iter().map(|(id, (score, _))| (id, score)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(fused: &[(u32, f64)], expected: &[(u32, f64)]) {
        assert_eq!(fused.len(), expected.len(), "{fused:?}");
        for ((id, score), (expected_id, expected_score)) in fused.iter().zip(expected) {
            assert_eq!(id, expected_id, "{fused:?}");
            assert!((score - expected_score).abs() < 5e-8, "{fused:?}");
        }
    }

    /// Acceptance case C9.
    #[test]
    fn what_both_rankings_have_comes_first() {
        let fused = fuse(&[vec![1, 2], vec![2, 3]], K);
        close(&fused, &[(2, 0.032_522_5), (1, 0.016_393_4), (3, 0.016_129_0)]);
    }

    #[test]
    fn of_equals_the_earlier_ranking_decides() {
        let fused = fuse(&[vec![9, 4], vec![1, 3]], K);
        let order: Vec<u32> = fused.into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [9, 1, 4, 3]);
    }

    #[test]
    fn a_ranking_counts_once_for_each() {
        close(&fuse(&[vec![7, 7, 8]], K), &[(7, 1.0 / 61.0), (8, 1.0 / 62.0)]);
        close(&fuse(&[Vec::<u32>::new(), Vec::new()], K), &[]);
    }
}
