//! How many questions the engine is asked at a time.

use std::future::Future;
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use perennial_runtime::instant;

/// Asks all `questions`, and streams the answers as they come. One is asked at a time while the engine is
/// quick, because each takes some thirty kilobytes in buffers of its connection; when `patience` has
/// passed since one was begun, the next is asked beside it, up to `most` at a time. So what is slow or
/// never answered holds up the others no longer than that.
pub(super) fn paced<Q, F: Future>(
    questions: Vec<Q>,
    (most, patience): (usize, Duration),
    ask: impl Fn(Q) -> F,
) -> impl Stream<Item = F::Output> {
    let state = (questions.into_iter(), FuturesUnordered::new(), ask, instant());
    stream::unfold(state, move |(mut waiting, mut asked, ask, mut due)| async move {
        let answer = loop {
            let free = asked.is_empty() || (asked.len() < most && instant() >= due);
            if let Some(next) = free.then(|| waiting.next()).flatten() {
                asked.push(ask(next));
                due = instant() + patience;
            }
            if waiting.len() == 0 || asked.len() >= most {
                break asked.next().await;
            }
            if let Ok(answer) = tokio::time::timeout_at(due, asked.next()).await {
                break answer;
            }
        };
        answer.map(|answer| (answer, (waiting, asked, ask, due)))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);
    const MOST: usize = 4;

    /// What came of asking.
    struct Asked {
        answers: Vec<u64>,
        /// The most questions that were under way at a time.
        peak: usize,
        /// Questions that were begun while another was under way.
        beside: usize,
        took: Duration,
    }

    /// Asks questions that take so many milliseconds each.
    async fn ask_all(questions: &[u64]) -> Asked {
        let (now, peak, beside) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let ask = |millis| {
            beside.set(beside.get() + usize::from(now.get() > 0));
            now.set(now.get() + 1);
            peak.set(peak.get().max(now.get()));
            let now = &now;
            async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                now.set(now.get() - 1);
                millis
            }
        };
        let began = instant();
        let answers = paced(questions.to_vec(), (MOST, PATIENCE), ask).collect().await;
        let took = instant().duration_since(began);
        Asked { answers, peak: peak.get(), beside: beside.get(), took }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_engine_is_asked_one_question_at_a_time() {
        let asked = ask_all(&[10; 20]).await;
        assert_eq!((asked.answers.len(), asked.peak), (20, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_quick_again_is_asked_one_question_at_a_time_again() {
        let asked = ask_all(&[&[100][..], &[10; 20]].concat()).await;
        assert_eq!((asked.answers.len(), asked.beside), (21, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_holds_the_others_up_no_longer_than_the_patience() {
        let asked = ask_all(&[10_000, 10, 20, 10]).await;
        assert_eq!((asked.answers, asked.peak), (vec![10, 20, 10, 10_000], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_engine_is_asked_as_many_as_allowed_and_no_more() {
        let asked = ask_all(&[1_000; 12]).await;
        assert_eq!((asked.answers.len(), asked.peak), (12, MOST));
        // On virtual time: three rounds, of which the first begins one after the other.
        assert!(asked.took <= Duration::from_millis(3_000 + 3 * 50 + 3), "{:?}", asked.took);
    }

    #[tokio::test(start_paused = true)]
    async fn without_questions_there_are_no_answers() {
        assert_eq!(ask_all(&[]).await.answers, [0_u64; 0]);
    }
}
