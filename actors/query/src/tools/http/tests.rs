use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use perennial_runtime::{ManualClock, Timestamp};
use perennial_secret::Secret;
use serde_json::{Value, json};

use super::*;
use crate::json::Json;
use crate::tool::Identity;
use server::{Reply, Server};

mod server;

/// Names and where they lead, one set of addresses after the other; the last one stays.
#[derive(Clone, Default)]
struct Names {
    names: Arc<BTreeMap<String, Vec<Vec<IpAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn new(names: &[(&str, &[&[&str]])]) -> Self {
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let names = names.iter().map(|(name, lists)| {
            ((*name).to_owned(), lists.iter().map(|list| addresses(list)).collect())
        });
        Self { names: Arc::new(names.collect()), asked: Arc::default() }
    }
}

impl Lookup for Names {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let at = self.asked.fetch_add(1, Ordering::SeqCst);
        let lists = self.names.get(&name);
        let found = lists.and_then(|lists| lists.get(at).or(lists.last())).cloned();
        Box::pin(async { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// `name` at any of the servers' ports, in clear.
fn host(name: &str, servers: &[&Server]) -> Host {
    Host {
        name: name.to_owned(),
        schemes: vec![Scheme::Http],
        ports: servers.iter().map(|server| server.address.port()).collect(),
        ..Host::default()
    }
}

/// What may be asked, with 127.0.0.1, and no other address that is not public.
fn config(hosts: Vec<Host>) -> Config {
    let allow_private = vec!["127.0.0.1/32".parse().unwrap()];
    Config { hosts, allow_private, ..Config::default() }
}

fn http(config: &Config) -> Http {
    Http::new(config, Arc::new(ManualClock::at(Timestamp::EPOCH)), System).unwrap()
}

fn call(arguments: Value) -> Call {
    Call {
        tool: NAME.to_owned(),
        arguments: Json(arguments),
        identity: Identity::default(),
        key: "query-1/step-1".to_owned(),
        label: "query-1/step-1".to_owned(),
        attempt: 1,
        deadline: Timestamp::MAX,
        timeout: Duration::from_secs(60),
    }
}

async fn ask(http: &Http, arguments: Value) -> Result<Value, ToolError> {
    assert_eq!(http.spec.problems(&arguments, false), []);
    http.call(&call(arguments)).await.map(|answer| answer.value.0)
}

async fn kind(http: &Http, url: &str) -> ErrorKind {
    ask(http, json!({"url": url})).await.unwrap_err().kind
}

#[tokio::test]
async fn text_is_given_as_content_and_json_as_its_value() {
    let server = Server::new(|path| match path {
        "/text" => Reply::new(200, &[("content-type", "text/plain"), ("etag", "\"1\"")], "a\n"),
        _ => Reply::new(200, &[("content-type", "application/json; charset=utf-8")], "{\"a\": 1}"),
    })
    .await;
    let http = http(&config(vec![host("127.0.0.1", &[&server])]));
    assert_eq!(
        ask(&http, json!({"url": server.url("/text#part")})).await.unwrap(),
        json!({
            "status": 200,
            "url": server.url("/text"),
            "headers": {"content-type": "text/plain", "etag": "\"1\""},
            "content": "a\n",
            "json": null,
            "bytes": 2,
            "redirects": 0,
            "from_cache": false,
        })
    );
    let value = ask(&http, json!({"url": server.url("/json")})).await.unwrap();
    assert_eq!((&value["json"], &value["content"]), (&json!({"a": 1}), &Value::Null));
    let head = ask(&http, json!({"url": server.url("/json"), "method": "HEAD"})).await.unwrap();
    assert_eq!((&head["status"], &head["bytes"]), (&json!(200), &json!(0)));
}

#[tokio::test]
async fn only_what_is_listed_is_asked() {
    let server = Server::new(|_| Reply::ok("")).await;
    let mut listed = host("127.0.0.1", &[&server]);
    listed.methods = vec![Method::Get];
    let mut wild = host("*.example.com", &[]);
    wild.ports = vec![8080];
    let http = http(&config(vec![listed, wild]));
    let port = server.address.port();
    let denied = [
        format!("http://127.0.0.2:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        "http://127.0.0.1:1/".to_owned(),
        format!("http://user:hunter2@127.0.0.1:{port}/"),
        "http://example.com:8080/".to_owned(),
        "http://evilexample.com:8080/".to_owned(),
        "http://www.example.com.evil.org:8080/".to_owned(),
        "file://127.0.0.1/etc/passwd".to_owned(),
    ];
    for url in denied {
        let error = ask(&http, json!({"url": url})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{url}: {error}");
        assert!(!error.message.contains("hunter2"), "{error}");
    }
    let posted = http.call(&call(json!({"url": server.url("/"), "method": "POST"}))).await;
    assert_eq!(posted.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(kind(&http, "no address").await, ErrorKind::Invalid);
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_reached_however_it_is_written() {
    let server = Server::new(|_| Reply::ok("secret")).await;
    let mut config = config(vec![host("127.0.0.1", &[&server]), host("localhost", &[&server])]);
    config.hosts.push(host("[::ffff:7f00:1]", &[&server]));
    config.allow_private.clear();
    let http = http(&config);
    let port = server.address.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"] {
        let url = format!("http://{host}:{port}/");
        let error = ask(&http, json!({"url": url})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{url}: {error}");
        assert!(error.message.contains("no public address"), "{error}");
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_refused_if_one_of_its_addresses_may_not_be_reached() {
    let server = Server::new(|_| Reply::ok("")).await;
    let names = Names::new(&[
        ("good.test", &[&["127.0.0.1"]]),
        ("mixed.test", &[&["127.0.0.1", "127.0.0.2"]]),
        ("metadata.test", &[&["169.254.169.254"]]),
    ]);
    let hosts = vec![host("*.test", &[&server])];
    let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
    let http = Http::new(&config(hosts), clock, names).unwrap();
    assert!(ask(&http, json!({"url": server.named("good.test", "/")})).await.is_ok());
    for name in ["mixed.test", "metadata.test"] {
        assert_eq!(kind(&http, &server.named(name, "/")).await, ErrorKind::Denied, "{name}");
    }
    assert_eq!(kind(&http, &server.named("none.test", "/")).await, ErrorKind::Unavailable);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_after_it_was_checked_is_not_followed_there() {
    let good = Server::new(|_| Reply::ok("good")).await;
    // The same port at the address that the name leads to when it is looked up again.
    let names = Names::new(&[("turning.test", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let asked = Arc::clone(&names.asked);
    let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
    let http = Http::new(&config(vec![host("turning.test", &[&good])]), clock, names).unwrap();
    let url = good.named("turning.test", "/");
    assert_eq!(ask(&http, json!({"url": url})).await.unwrap()["content"], json!("good"));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what was checked is what was connected to");
    assert_eq!(kind(&http, &url).await, ErrorKind::Denied);
}

#[tokio::test]
async fn a_redirect_is_checked_like_the_first_request() {
    let private = Server::at("127.0.0.2", |_| Reply::ok("secret")).await;
    let (address, port) = (private.url("/"), private.address.port());
    let server = Server::new(move |path| match path {
        "/private" => Reply::redirect(302, &address),
        "/unlisted" => Reply::redirect(307, "http://other.test/"),
        "/scheme" => Reply::redirect(301, "file:///etc/passwd"),
        "/named" => Reply::redirect(302, &format!("http://inside.test:{port}/")),
        _ => Reply::ok("there"),
    })
    .await;
    let hosts = ["127.0.0.1", "127.0.0.2", "inside.test"];
    let hosts = hosts.map(|name| host(name, &[&server, &private])).to_vec();
    let names = Names::new(&[("inside.test", &[&["127.0.0.2"]])]);
    let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
    let http = Http::new(&config(hosts), clock, names).unwrap();
    for path in ["/private", "/unlisted", "/scheme", "/named"] {
        assert_eq!(kind(&http, &server.url(path)).await, ErrorKind::Denied, "{path}");
    }
    assert_eq!(private.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn five_redirects_are_followed_and_no_more() {
    let server = Server::new(|path| match path.trim_start_matches('/').parse::<u32>() {
        Ok(0) | Err(_) => Reply::ok("there"),
        Ok(left) => Reply::redirect(302, &format!("/{}", left - 1)),
    })
    .await;
    let http = http(&config(vec![host("127.0.0.1", &[&server])]));
    let answer = ask(&http, json!({"url": server.url("/5")})).await.unwrap();
    assert_eq!((&answer["redirects"], &answer["url"]), (&json!(5), &json!(server.url("/0"))));
    let error = ask(&http, json!({"url": server.url("/6")})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("more than 5 times"), "{error}");
}

#[tokio::test]
async fn what_is_said_to_one_host_is_not_said_to_where_it_redirects() {
    let other = Server::new(|_| Reply::ok("there")).await;
    let target = other.named("other.test", "/");
    let server = Server::new(move |_| Reply::redirect(302, &target)).await;
    let mut first = host("first.test", &[&server]);
    first.headers = [("X-Key".to_owned(), Secret::new("hunter2"))].into();
    let here: &[&[&str]] = &[&["127.0.0.1"]];
    let names = Names::new(&[("first.test", here), ("other.test", here)]);
    let config = config(vec![first, host("other.test", &[&other])]);
    let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
    let http = Http::new(&config, clock, names).unwrap();
    let headers = json!({"Authorization": "Bearer token", "Accept": "text/plain"});
    let url = server.named("first.test", "/");
    ask(&http, json!({"url": url, "headers": headers})).await.unwrap();
    let (first, second) = (server.seen().concat(), other.seen().concat());
    assert!(first.contains("x-key: hunter2") && first.contains("authorization: Bearer token"));
    assert!(second.contains("accept: text/plain"), "{second}");
    assert!(!second.contains("hunter2") && !second.contains("token"), "{second}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whether_it_says_so_or_not() {
    let chunk = format!("{:x}\r\n{}\r\n", 1000, "x".repeat(1000));
    let endless =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk.repeat(3));
    let server = Server::new(move |path| match path {
        "/announced" => Reply::hanging("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\nx"),
        "/endless" => Reply::hanging(&endless),
        _ => Reply::ok(&"x".repeat(2000)),
    })
    .await;
    let http = http(&Config { max_bytes: 2000, ..config(vec![host("127.0.0.1", &[&server])]) });
    for path in ["/announced", "/endless"] {
        let error = ask(&http, json!({"url": server.url(path)})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{path}");
        assert!(error.message.contains("more than 2000 bytes"), "{error}");
    }
    assert!(ask(&http, json!({"url": server.url("/")})).await.is_ok());
    let less = json!({"url": server.url("/"), "max_bytes": 1999});
    assert_eq!(ask(&http, less).await.unwrap_err().kind, ErrorKind::Failed);
}

#[tokio::test]
async fn a_host_that_keeps_silent_is_given_up() {
    let server = Server::new(|path| match path {
        "/head" => Reply::hanging(""),
        _ => Reply::hanging("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
    })
    .await;
    let mut listed = host("127.0.0.1", &[&server]);
    listed.methods.push(Method::Post);
    let timeout = Duration::from_millis(200);
    let http = http(&Config { timeout, ..config(vec![listed]) });
    for path in ["/head", "/body"] {
        assert_eq!(kind(&http, &server.url(path)).await, ErrorKind::Timeout, "{path}");
    }
    let posted = json!({"url": server.url("/head"), "method": "POST"});
    assert_eq!(ask(&http, posted).await.unwrap_err().kind, ErrorKind::Unknown);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_or_breaks_off_is_unavailable() {
    let server =
        Server::new(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")).await;
    let gone = Server::new(|_| Reply::ok("")).await;
    let mut listed = host("127.0.0.1", &[&server, &gone]);
    listed.methods.push(Method::Post);
    let http = http(&config(vec![listed]));
    assert_eq!(kind(&http, &server.url("/")).await, ErrorKind::Unavailable);
    let posted = json!({"url": server.url("/"), "method": "POST"});
    assert_eq!(ask(&http, posted).await.unwrap_err().kind, ErrorKind::Unknown);
    let url = gone.url("/");
    drop(gone);
    // The listener is closed when its task has ended.
    while ask(&http, json!({"url": url})).await.is_ok() {}
    assert_eq!(kind(&http, &url).await, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_wait_and_what_was_said() {
    let server =
        Server::new(|_| Reply::new(429, &[("retry-after", "7")], "too\nmany requests")).await;
    let http = http(&config(vec![host("127.0.0.1", &[&server])]));
    let error = ask(&http, json!({"url": server.url("/a?key=hunter2")})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    let url = server.url("/a");
    assert_eq!(error.message, format!("GET {url} answered 429: too many requests"));
}

#[tokio::test]
async fn what_is_posted_carries_its_key_and_is_not_repeated_blindly() {
    let server = Server::new(|path| match path {
        "/old" => Reply::redirect(303, "/new"),
        "/kept" => Reply::redirect(307, "/new"),
        _ => Reply::ok("done"),
    })
    .await;
    let mut listed = host("127.0.0.1", &[&server]);
    listed.methods = vec![Method::Get, Method::Post];
    let http = http(&config(vec![listed]));
    let posted = json!({"url": server.url("/old"), "method": "POST", "body": {"a": 1}});
    ask(&http, posted.clone()).await.unwrap();
    let kept = json!({"url": server.url("/kept"), "method": "POST", "body": "text"});
    ask(&http, kept).await.unwrap();
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /old") && seen[0].ends_with("{\"a\":1}"), "{}", seen[0]);
    assert!(seen[0].contains("idempotency-key: query-1/step-1"), "{}", seen[0]);
    assert!(seen[0].contains("content-type: application/json"), "{}", seen[0]);
    assert!(seen[1].starts_with("GET /new") && !seen[1].contains("content-type"), "{}", seen[1]);
    assert!(seen[3].starts_with("POST /new") && seen[3].ends_with("text"), "{}", seen[3]);
    assert!(matches!(http.reconcile(&call(posted)).await, Trace::Unknown(_)));
    let got = call(json!({"url": server.url("/")}));
    assert_eq!(http.reconcile(&got).await, Trace::NotDone);
    assert!(http.spec.changes_world);
}

#[tokio::test]
async fn what_was_posted_and_taken_is_not_posted_again_when_its_outcome_cannot_be_read() {
    let server = Server::new(|path| match path {
        "/busy" => Reply::new(503, &[("retry-after", "1")], "later"),
        "/torn" => Reply::raw("HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\nhalf"),
        "/gone" => Reply::raw(""),
        asked => Reply::redirect(303, asked.trim_start_matches("/then")),
    })
    .await;
    let mut listed = host("127.0.0.1", &[&server]);
    listed.methods = vec![Method::Get, Method::Post];
    let http = http(&config(vec![listed]));
    for path in ["/then/busy", "/then/torn", "/then/gone", "/thenhttp://127.0.0.1:1/"] {
        let posted = json!({"url": server.url(path), "method": "POST", "body": "text"});
        let error = ask(&http, posted).await.unwrap_err();
        assert_eq!((error.kind, error.retry_after), (ErrorKind::Unknown, None), "{path}: {error}");
        assert!(error.message.contains("was taken"), "{error}");
    }
}

#[tokio::test]
async fn headers_of_the_connection_and_of_the_operator_are_not_the_callers() {
    let server = Server::new(|_| Reply::ok("")).await;
    let mut listed = host("127.0.0.1", &[&server]);
    listed.headers = [("X-Key".to_owned(), Secret::new("hunter2"))].into();
    let http = http(&config(vec![listed]));
    let with = |name: &str| json!({"url": server.url("/"), "headers": {name: "x"}});
    assert_eq!(ask(&http, with("Host")).await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(ask(&http, with("x-key")).await.unwrap_err().kind, ErrorKind::Denied);
    let broken = json!({"url": server.url("/"), "headers": {"a": "x\r\ny: z"}});
    assert_eq!(ask(&http, broken).await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_fresh_is_not_asked_for_again() {
    let server = Server::new(|path| match path {
        "/fresh" => Reply::new(200, &[("cache-control", "max-age=60")], "x"),
        "/never" => Reply::new(200, &[("cache-control", "no-store")], "x"),
        "/missing" => Reply::new(404, &[("cache-control", "max-age=60")], "x"),
        _ => Reply::ok("x"),
    })
    .await;
    let mut listed = host("127.0.0.1", &[&server]);
    listed.ttl = Duration::from_secs(12);
    let clock = ManualClock::at(Timestamp::EPOCH);
    let http = Http::new(&config(vec![listed]), Arc::new(clock.clone()), System).unwrap();
    let times = |path: &str| server.seen().iter().filter(|seen| seen.contains(path)).count();
    for path in ["/fresh", "/silent", "/never", "/missing"] {
        ask(&http, json!({"url": server.url(path)})).await.ok();
        let again = ask(&http, json!({"url": server.url(path)})).await;
        let kept = path == "/fresh" || path == "/silent";
        assert_eq!(times(path), if kept { 1 } else { 2 }, "{path}");
        assert_eq!(again.is_ok_and(|answer| answer["from_cache"] == json!(true)), kept, "{path}");
    }
    clock.advance(Duration::from_secs(12));
    for path in ["/fresh", "/silent"] {
        ask(&http, json!({"url": server.url(path)})).await.unwrap();
    }
    assert_eq!((times("/fresh"), times("/silent")), (1, 2));
    // Neither what is asked in somebody's name, nor with other headers, nor of another length.
    for _ in 0..2 {
        let own = json!({"url": server.url("/fresh"), "headers": {"Authorization": "x"}});
        ask(&http, own).await.unwrap();
    }
    assert_eq!(times("/fresh"), 3);
    let other = json!({"url": server.url("/fresh"), "headers": {"Accept": "text/html"}});
    ask(&http, other).await.unwrap();
    assert_eq!(times("/fresh"), 4);
}

#[tokio::test]
async fn a_url_that_is_none_does_not_show_the_password_in_it() {
    let http = http(&config(vec![host("127.0.0.1", &[])]));
    for url in ["http://ann:hunter2@127.0.0.1:99999/", "http://ann:hunter2@[", "ann:hunter2@x y"] {
        let error = ask(&http, json!({"url": url})).await.unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_secret_is_sent_and_never_shows() {
    let server = Server::new(|_| Reply::new(500, &[], "broken")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "from-file\n").unwrap();
    let mut listed = host("127.0.0.1", &[&server]);
    listed.headers = [("Authorization".to_owned(), Secret::new("hunter2"))].into();
    listed.header_files = [("X-Key".to_owned(), file.clone())].into();
    let config = config(vec![listed]);
    let http = http(&config);
    let error = ask(&http, json!({"url": server.url("/")})).await.unwrap_err();
    let seen = server.seen().concat();
    assert!(seen.contains("authorization: hunter2") && seen.contains("x-key: from-file"));
    let shown =
        format!("{http:?} {error:?} {config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains("from-file"), "{shown}");
    std::fs::write(&file, "two\nlines").unwrap();
    let problems = Http::new(&config, Arc::new(ManualClock::at(Timestamp::EPOCH)), System);
    assert!(problems.unwrap_err().to_string().contains("headers.X-Key"));
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_the_key_named() {
    let named = |name: &str| Host { name: name.to_owned(), ..Host::default() };
    let wrong = [
        (named(""), "hosts[0].name"),
        (named("Example.com"), "hosts[0].name `Example.com` is no host's name; write example.com"),
        (named("https://example.com"), "hosts[0].name"),
        (named("example.com:80"), "hosts[0].name"),
        (Host { schemes: Vec::new(), ..named("a.com") }, "hosts[0].schemes"),
        (Host { methods: Vec::new(), ..named("a.com") }, "hosts[0].methods"),
        (
            Host { headers: [("a b".to_owned(), Secret::new("x"))].into(), ..named("a.com") },
            "hosts[0].headers.a b",
        ),
        (
            Host { header_files: [("a".to_owned(), "/none".into())].into(), ..named("a.com") },
            "hosts[0].header_files.a",
        ),
    ];
    for (host, begins) in wrong {
        let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
        let error = Http::new(&config(vec![host]), clock, System).unwrap_err().to_string();
        assert!(error.starts_with(begins), "{error} does not begin with {begins}");
    }
    let text = "allow_private = [\"10.0.0.0/8\"]\n[[hosts]]\nname = \"*.example.com\"\nttl = \"5m\"\n\
                methods = [\"GET\", \"POST\"]\nheaders = { X-Key = \"k\" }\n";
    let read: Config = toml::from_str(text).unwrap();
    assert_eq!(read.hosts[0].ttl, Duration::from_secs(300));
    assert_eq!(read.problems(), Vec::<String>::new());
    let off =
        add(Toolbox::default(), &Config::default(), Arc::new(ManualClock::at(Timestamp::EPOCH)));
    assert!(off.unwrap().catalogue().0.is_empty());
}
