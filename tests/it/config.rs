//! The configuration as an operator meets it: the documented file, errors, environment, secrets.

use std::fs;
use std::path::Path;

use perennial::config::{Config, Sources};
use tempfile::TempDir;
use toml::Table;

const DOCUMENTED: &str = include_str!("../../config/perennial.toml");

/// The documented file with every option in force.
fn uncommented() -> String {
    let option = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
            .map_or_else(|| line.to_owned(), str::to_owned)
    };
    DOCUMENTED.lines().map(option).collect::<Vec<_>>().join("\n")
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = written(&directory, "node.toml", text);
    let environment =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let sources = Sources { file: Some(file.into()), environment, options: Vec::new() };
    let shorter = |error: String| error.replace(&format!("{}/", directory.path().display()), "");
    Config::load(&sources).map_err(|error| shorter(error.to_string()))
}

fn written(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("a file can be written");
    path.display().to_string()
}

/// Dotted names of all keys that hold values.
fn keys(table: &Table, prefix: &str) -> Vec<String> {
    let names = table.iter().flat_map(|(name, value)| match value.as_table() {
        Some(inner) => keys(inner, &format!("{prefix}{name}.")),
        None => vec![format!("{prefix}{name}")],
    });
    names.collect()
}

#[test]
fn the_documented_file_as_it_is_and_with_every_option_in_force_equals_the_defaults() {
    assert_eq!(load(DOCUMENTED, &[]).unwrap(), Config::default());
    assert_eq!(load(&uncommented(), &[]).unwrap(), Config::default());
}

#[test]
fn the_documented_file_names_every_option_there_is() {
    let defaults = Table::try_from(Config::default()).unwrap();
    let documented: Table = uncommented().parse().unwrap();
    let (mut expected, mut found) = (keys(&defaults, ""), keys(&documented, ""));
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_option_of_the_documented_file_is_explained() {
    let lines: Vec<&str> = DOCUMENTED.lines().collect();
    for pair in lines.windows(2) {
        let is_option =
            pair[1].strip_prefix('#').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
        assert!(!is_option || pair[0].starts_with("# "), "not explained: {}", pair[1]);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_closest_known_name() {
    let error = load("[http]\nlisten = \"127.0.0.1:1\"\nmax_conections = 3\n", &[]).unwrap_err();
    assert_eq!(error, "node.toml:3: unknown key `max_conections`; did you mean `max_connections`?");
}

#[test]
fn an_unknown_section_is_refused_too() {
    let error = load("\n[responde]\n", &[]).unwrap_err();
    assert_eq!(error, "node.toml:2: unknown key `responde`; did you mean `responder`?");
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_the_line() {
    let error = load("[http]\nlisten = \n", &[]).unwrap_err();
    assert!(error.starts_with("node.toml:2: "), "{error}");
}

#[test]
fn a_value_that_does_not_pass_is_refused_with_the_line_of_its_key() {
    let error = load("[log]\n\nlevel = \"loud=very\"\n", &[]).unwrap_err();
    assert!(error.starts_with("node.toml:3: log.level: `loud=very`"), "{error}");
}

#[test]
fn a_value_of_the_wrong_shape_is_refused_with_its_key_and_what_one_looks_like() {
    let error = load("[http]\nlisten = \"nowhere\"\n", &[]).unwrap_err();
    let expected = "listen: not an address and a port, such as 127.0.0.1:8000";
    assert_eq!(error, format!("node.toml:2: {expected}"));
}

#[test]
fn an_engine_address_that_is_not_spoken_is_refused_by_the_check_as_by_the_node() {
    let error = load("[docker]\nhost = \"ssh://host\"\n", &[]).unwrap_err();
    assert!(error.starts_with("node.toml:2: docker.host: \"ssh://host\""), "{error}");
}

#[test]
fn every_wrong_value_is_reported_at_once() {
    let error = load("[http]\nmax_connections = 0\nmax_body_bytes = 0\n", &[]).unwrap_err();
    assert_eq!(error.lines().count(), 2, "{error}");
}

#[test]
fn every_unknown_key_and_wrong_value_of_all_sources_is_reported_at_once_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let token = written(&directory, "token", "t\u{f6}ken\n");
    let text = format!(
        "[store]\nreserve_bytes = 1\ncache_bytes = \"many\"\n\n[http]\nlistn = \"x\"\nlisten = \"x\"\n\
         token_file = \"{token}\"\n[nothing]\na = 1\n[monitor]\nexclude = [1]\n\
         [alert.webhook]\nurl = \"not a url\"\nkey_file = \"/nowhere/key\"\n"
    );
    let error = load(&text, &[("PERENNIAL__LOG__LEVLE", "info")]).unwrap_err();
    let expected = [
        "node.toml:3: cache_bytes: ",
        "node.toml:6: unknown key `listn`; did you mean `listen`?",
        "node.toml:7: listen: not an address",
        "node.toml:9: unknown key `nothing`; known are",
        "node.toml:12: ",
        "PERENNIAL__LOG__LEVLE sets nothing; did you mean PERENNIAL__LOG__LEVEL?",
        "alert.webhook.key_file: /nowhere/key cannot be read",
        &format!("node.toml:8: http.token_file: the content of {token} may hold visible ASCII"),
        "node.toml:2: store.reserve_bytes: ",
        "node.toml:14: alert.webhook.url: is not an http(s) address",
    ];
    let error = error.replace(&format!("{}/", directory.path().display()), "");
    for (line, expected) in error.lines().zip(&expected) {
        let expected = expected.replace(&format!("{}/", directory.path().display()), "");
        assert!(line.starts_with(&expected), "{expected} in {error}");
    }
    assert_eq!(error.lines().count(), expected.len(), "{error}");
}

#[test]
fn every_wrong_entry_of_a_list_is_reported_at_once_with_its_line() {
    let window = "[[responder.maintenance]]\nfrom = \"2am\"\nto = \"3am\"\n";
    let text = format!("{window}{window}[monitor]\nexclude = [1, \"a\", 2]\n");
    let error = load(&text, &[]).unwrap_err();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    for (line, place) in lines.iter().zip([1, 4, 8, 8]) {
        assert!(line.starts_with(&format!("node.toml:{place}: ")), "{error}");
    }
    for line in &lines[..2] {
        assert!(line.contains("\"2am\"") && line.contains("\"3am\""), "{error}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused_without_listing_all_of_it() {
    let text: String = (0..500).map(|number| format!("key{number} = 1\n")).collect();
    let error = load(&text, &[]).unwrap_err();
    assert_eq!(error.lines().count(), 101, "{error}");
    assert!(
        error.ends_with(
            "node.toml: there may be more that is wrong, which shows once this is right"
        )
    );
}

#[test]
fn a_token_file_that_cannot_be_read_is_the_only_problem_of_a_node_that_needs_one() {
    let text = "[http]\nlisten = \"0.0.0.0:1\"\ntoken_file = \"/nowhere/token\"\n";
    let error = load(text, &[]).unwrap_err();
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources { file: Some("/nowhere/node.toml".into()), ..Sources::default() };
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/node.toml: cannot be read"), "{error}");
}

#[test]
fn the_environment_wins_over_the_file_and_takes_the_type_of_the_option() {
    let config = load(
        "[http]\nlisten = \"127.0.0.1:1\"\n",
        &[
            ("PERENNIAL__HTTP__LISTEN", "127.0.0.1:2"),
            ("PERENNIAL__HTTP__MAX_CONNECTIONS", "7"),
            ("PERENNIAL__HTTP__OPEN_METRICS", "true"),
            ("PERENNIAL__HTTP__REQUEST_TIMEOUT", "3s"),
            ("PERENNIAL__HTTP__TOKEN", "1234567890123456"),
            ("PERENNIAL__MONITOR__EXCLUDE", "[\"a*\", \"b\"]"),
            ("PERENNIAL__ALERT__EMAIL__PORT", "2525"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.http.max_connections, 7);
    assert!(config.http.open_metrics);
    assert_eq!(config.http.request_timeout.as_secs(), 3);
    assert_eq!(config.http.token.expose(), "1234567890123456");
    assert_eq!(config.monitor.exclude, ["a*", "b"]);
    assert_eq!(config.alert.email.port, 2525);
}

#[test]
fn a_variable_that_sets_nothing_is_refused_with_the_one_probably_meant() {
    let error = load("", &[("PERENNIAL__HTTP__LISTN", "127.0.0.1:2")]).unwrap_err();
    assert_eq!(error, "PERENNIAL__HTTP__LISTN sets nothing; did you mean PERENNIAL__HTTP__LISTEN?");
}

#[test]
fn a_variable_of_the_wrong_type_is_refused_without_repeating_its_value() {
    let error = load("", &[("PERENNIAL__HTTP__MAX_CONNECTIONS", "s3cret")]).unwrap_err();
    assert!(error.starts_with("PERENNIAL__HTTP__MAX_CONNECTIONS: "), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn a_secret_is_read_from_its_file_without_the_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let token = written(&directory, "token", "t0ken-of-the-node\n");
    let password = written(&directory, "password", "p4ss\n");
    let text = format!(
        "[http]\ntoken_file = \"{token}\"\n[alert.email]\npassword_file = \"{password}\"\n"
    );
    let config = load(&text, &[]).unwrap();
    assert_eq!(config.http.token.expose(), "t0ken-of-the-node");
    assert!(config.alert.email.password.is_set());
}

#[test]
fn an_opinion_of_models_that_are_not_there_is_refused_and_actions_but_a_restart_are_too() {
    let error = load("[analyzer.model]\nwhen = \"always\"\n", &[]).unwrap_err();
    assert!(error.contains("analyzer.model.when: no model is there to be asked"), "{error}");
    let models = "[query.llm]\nmodels = [{ name = \"small\", model = \"m\" }]\n";
    let text = format!("{models}[analyzer.model]\nwhen = \"always\"\nmode = \"big\"\n");
    let error = load(&text, &[]).unwrap_err();
    assert!(error.contains("analyzer.model.mode: query.llm.modes has no `big`"), "{error}");
    let text = format!("{models}[analyzer.model]\nwhen = \"always\"\nactions = [\"stop\"]\n");
    let error = load(&text, &[]).unwrap_err();
    assert!(error.contains("`stop`") && error.contains("`restart`"), "{error}");
    let text = format!("{models}[analyzer.model]\nwhen = \"always\"\nactions = [\"restart\"]\n");
    assert_eq!(load(&text, &[]).unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn a_secret_and_its_file_together_are_refused() {
    let error = load("[http]\ntoken = \"a\"\ntoken_file = \"/b\"\n", &[]).unwrap_err();
    assert_eq!(error, "http.token and http.token_file are both set; remove one");
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named() {
    let error = load("[alert.slack]\nurl_file = \"/nowhere/url\"\n", &[]).unwrap_err();
    assert!(error.starts_with("alert.slack.url_file: /nowhere/url cannot be read"), "{error}");
}

#[test]
fn secrets_show_in_no_form_of_the_configuration() {
    let text = "[http]\ntoken = \"hunter2-hunter2-hunter2\"\n\
        [alert.slack]\nurl = \"https://hunter2\"\n\
        [alert.email]\npassword = \"hunter2\"\n\
        [alert.webhook]\nurl = \"https://hunter2\"\nkey = \"hunter2\"\n";
    let config = load(text, &[]).unwrap();
    let dumped = config.to_toml().unwrap();
    assert!(!dumped.contains("hunter2"), "{dumped}");
    assert_eq!(dumped.matches("[redacted]").count(), 5, "{dumped}");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_of_what_stands_in_a_list_is_read_from_its_file_and_does_not_show() {
    let directory = tempfile::tempdir().unwrap();
    let key = written(&directory, "key", "hunter2-hunter2\n");
    let model = |name: &str, file: &str| {
        format!("[[query.llm.models]]\nname = \"{name}\"\nmodel = \"m\"\nkey_file = \"{file}\"\n")
    };
    let config = load(&(model("a", &key) + &model("b", &key)), &[]).unwrap();
    assert!(config.query.llm.models.iter().all(|model| model.key.expose() == "hunter2-hunter2"));
    assert!(!format!("{config:?}{}", config.to_toml().unwrap()).contains("hunter2"));
    let error = load(&(model("a", &key) + &model("b", "/nowhere/key")), &[]).unwrap_err();
    assert!(error.starts_with("query.llm.models[1].key_file: /nowhere/key"), "{error}");
}

#[test]
fn a_model_that_cannot_be_asked_is_refused_with_the_line_of_its_section() {
    let text = "\n[query.llm]\nmodels = [{ name = \"a\", model = \"m\", temperature = 3.0 }]\n";
    let error = load(text, &[]).unwrap_err();
    assert_eq!(error, "node.toml:2: query.llm: models[0].temperature must be from 0 to 2");
}

#[test]
fn listening_beyond_this_machine_needs_a_token() {
    let open = "[http]\nlisten = \"0.0.0.0:8000\"\n";
    let error = load(open, &[]).unwrap_err();
    assert!(error.starts_with("node.toml:2: http.listen: 0.0.0.0:8000"), "{error}");
    assert!(error.contains("PERENNIAL__HTTP__TOKEN"), "{error}");
    load(open, &[("PERENNIAL__HTTP__TOKEN", "0123456789abcdef")]).unwrap();
    load("[http]\nlisten = \"[::1]:8000\"\n", &[]).unwrap();
}

#[test]
fn limits_that_can_never_trip_are_warned_about_with_their_section() {
    assert_eq!(Config::default().warnings(), Vec::<String>::new());
    let text = "[monitor]\ncpu_percent = 100.0\ncritical_percent = 100.0\n\
        [analyzer]\nconfidence_threshold = 2.0\n[http]\ntoken = \"short\"\n";
    let warnings = load(text, &[]).unwrap().warnings();
    for section in ["monitor", "analyzer", "http"] {
        assert!(warnings.iter().any(|warning| warning.starts_with(section)), "{warnings:?}");
    }
}

#[test]
fn backups_that_are_lost_with_the_data_or_cannot_be_written_are_warned_about() {
    let warned = |directory: &str, rest: &str| {
        let text = format!(
            "[store]\ndata_dir = \"/nowhere/data\"\n[backup]\ndirectory = \"{directory}\"\n{rest}"
        );
        load(&text, &[]).unwrap().warnings().join("\n")
    };
    assert_eq!(warned("/tmp/backups", ""), "");
    assert!(warned("/nowhere/data/backups", "").contains("is lost together with store.data_dir"));
    assert!(warned("/etc/hostname/backups", "").contains("cannot be written"));
    assert!(warned("/tmp/backups", "keep = \"1h\"").contains("keep is shorter than every"));
    let error = load("[backup]\nevery = \"1ms\"\n", &[]).unwrap_err();
    assert_eq!(error, "node.toml:2: backup.every: must be more than 0");
}

#[test]
fn the_examples_in_deploy_are_valid() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/perennial.toml");
    let text = fs::read_to_string(&deploy).expect("deploy/perennial.toml is there");
    // Its token file exists only where it is deployed.
    let text = text.replace("token_file", "# token_file");
    load(&text, &[("PERENNIAL__HTTP__TOKEN", "0123456789abcdef")]).unwrap();
}
