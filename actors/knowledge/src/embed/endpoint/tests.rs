use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// A service on the loopback that gives one answer per connection and hands over the requests; `None` never
/// answers.
async fn service(answers: Vec<Option<String>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = tokio::spawn(async move {
        let (mut requests, mut silent) = (Vec::new(), Vec::new());
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !complete(&request) {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            requests.push(String::from_utf8(request).unwrap());
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => silent.push(stream),
            }
        }
        if !silent.is_empty() {
            std::future::pending::<()>().await;
        }
        requests
    });
    (url, requests)
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).unwrap();
    body.len() >= length.lines().next().unwrap().parse().unwrap()
}

fn answer(status: &str, headers: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

fn vectors(body: &str) -> Option<String> {
    answer("200 OK", "", &format!("{{\"object\":\"list\",\"data\":[{body}]}}"))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn endpoint(url: &str, batch: usize) -> Endpoint {
    let config = EndpointConfig { batch, ..EndpointConfig::new(url, "small") };
    Endpoint::new(&config, &Secret::new("s3cret")).unwrap()
}

#[tokio::test]
async fn texts_are_sent_in_batches_and_vectors_come_back_in_order() {
    let two = r#"{"index":1,"embedding":[0,2]},{"index":0,"embedding":[1,0]}"#;
    let one = r#"{"index":0,"embedding":[3,0]}"#;
    let (url, requests) = service(vec![vectors(two), vectors(one)]).await;
    let endpoint = endpoint(&format!("{url}/v1/"), 2);
    let found = endpoint.embed(&texts(&["a", "b", "c"])).await.unwrap();
    assert_eq!(found, [[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]);
    let requests = requests.await.unwrap();
    assert!(requests[0].starts_with("POST /v1/embeddings HTTP/1.1"));
    assert!(requests[0].contains("authorization: Bearer s3cret"));
    assert!(
        requests[0].ends_with(r#"{"model":"small","input":["a","b"],"encoding_format":"float"}"#)
    );
    assert!(requests[1].contains(r#""input":["c"]"#));
    assert_eq!(endpoint.name(), "endpoint:small");
}

#[tokio::test]
async fn a_limit_and_an_outage_may_pass_and_a_wrong_key_does_not() {
    let (url, _requests) = service(vec![
        answer("429 Too Many Requests", "Retry-After: 7\r\n", "slow down"),
        answer("503 Service Unavailable", "", ""),
        answer("401 Unauthorized", "", "no such key"),
    ])
    .await;
    let endpoint = endpoint(&url, 2);
    let limited = endpoint.embed(&texts(&["a"])).await.unwrap_err();
    assert_eq!(
        (limited.kind, limited.retry_after),
        (ErrorKind::Overloaded, Some(Duration::from_secs(7)))
    );
    let down = endpoint.embed(&texts(&["a"])).await.unwrap_err();
    assert_eq!(down.kind, ErrorKind::Unavailable);
    let denied = endpoint.embed(&texts(&["a"])).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
    assert!(denied.message.contains("no such key"), "{denied}");
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_texts_is_an_error() {
    for body in [
        "",
        r#"{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}"#,
        r#"{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}"#,
        r#"{"index":0,"embedding":[]},{"index":1,"embedding":[]}"#,
    ] {
        let (url, _requests) = service(vec![vectors(body)]).await;
        let error = endpoint(&url, 9).embed(&texts(&["a", "b"])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{body}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_a_timeout_and_one_that_is_not_there_unavailable() {
    let (url, _requests) = service(vec![None]).await;
    let config =
        EndpointConfig { timeout: Duration::from_millis(50), ..EndpointConfig::new(&url, "m") };
    let silent = Endpoint::new(&config, &Secret::default()).unwrap();
    assert_eq!(silent.embed(&texts(&["a"])).await.unwrap_err().kind, ErrorKind::Timeout);
    let gone = endpoint("http://127.0.0.1:1", 1).embed(&texts(&["a"])).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    let endpoint = endpoint("http://127.0.0.1:1", 1);
    let error = endpoint.embed(&texts(&["a"])).await.unwrap_err();
    for shown in [format!("{endpoint:?}"), format!("{error:?} {error}")] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let bad =
        Endpoint::new(&EndpointConfig::new("http://x", "m"), &Secret::new("s3cret\n")).unwrap_err();
    assert!(!format!("{bad:?} {bad}").contains("s3cret"));
    for url in ["ftp://x", "nowhere", "http://"] {
        assert!(
            Endpoint::new(&EndpointConfig::new(url, "m"), &Secret::default()).is_err(),
            "{url}"
        );
    }
}

#[tokio::test]
async fn however_many_ask_the_service_has_four_requests_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(&format!("http://{}", listener.local_addr().unwrap()), 1);
    let words = texts(&["a"]);
    let asking = futures::future::join_all((0..2 * AT_A_TIME).map(|_| endpoint.embed(&words)));
    let answering = async {
        let mut open = Vec::new();
        for _ in 0..AT_A_TIME {
            open.push(listener.accept().await.unwrap().0);
        }
        // Those that have a place are without an answer, so nobody else comes.
        let another = std::pin::pin!(listener.accept());
        assert!(futures::poll!(another).is_pending());
        assert_eq!(endpoint.places.available_permits(), 0);
        let one = vectors(r#"{"index":0,"embedding":[1]}"#).unwrap();
        for answered in 0..2 * AT_A_TIME {
            let mut stream = open.remove(0);
            let mut request = Vec::new();
            while !complete(&request) {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            stream.write_all(one.as_bytes()).await.unwrap();
            drop(stream);
            if answered < AT_A_TIME {
                open.push(listener.accept().await.unwrap().0);
            }
        }
    };
    let (answers, ()) = futures::join!(asking, answering);
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
}
