//! Who may read what, against somebody who tries to read more.

use datafusion::arrow::array::{Int64Array, StringArray};
use perennial_sql_protocol::{Grant, RefusalKind, Table, Who};
use serde_json::{Value, json};

use crate::process::{Data, Worker, column, grant, table, who};

/// Pay is hidden from players; they see rows of their own, scouts those of their teams, guests some of these by
/// columns that are hidden from them.
fn players() -> (Data, Vec<Table>) {
    let data = Data::new();
    data.write(
        "players.csv",
        "player,team,goals,pay\nann,reds,10,111111\nbob,reds,20,222222\ncid,blues,30,333333\n\
         dan,,40,444444\n",
    );
    data.write("teams.csv", "team,town\nreds,Aville\nblues,Beton\n");
    let hidden = vec!["pay".to_owned()];
    let own = Grant {
        hidden: hidden.clone(),
        rows: "player = identity.name".into(),
        ..grant(&["player"])
    };
    let teams = Grant {
        columns: vec!["player".into(), "team".into(), "goals".into()],
        rows: "team = ANY(identity.teams)".into(),
        ..grant(&["scout"])
    };
    let guests = Grant {
        columns: vec!["player".into(), "goals".into()],
        rows: "team = ANY(identity.teams) AND pay < 200000".into(),
        ..grant(&["guest"])
    };
    let staff = Grant { hidden, ..grant(&["staff"]) };
    let access = vec![grant(&["coach"]), own, teams, guests, staff];
    let players = Table { access, ..table("players", "players.csv") };
    (data, vec![players, table("teams", "teams.csv")])
}

async fn started() -> (Data, Worker) {
    let (data, tables) = players();
    let worker = Worker::start(&data, tables).await;
    (data, worker)
}

async fn names(worker: &mut Worker, who: &Who) -> Value {
    let answer = worker.ask(who, "SELECT player FROM players ORDER BY player").await.unwrap();
    json!(answer.rows)
}

#[tokio::test]
async fn two_of_the_same_role_who_may_see_themselves_see_different_rows() {
    let (_data, mut worker) = started().await;
    for name in ["ann", "bob"] {
        let asks = who(name, "player", &["reds"]);
        assert_eq!(names(&mut worker, &asks).await, json!([[name]]));
        let counted = worker.ask(&asks, "SELECT count(*), sum(goals) FROM players").await.unwrap();
        assert_eq!(json!(counted.rows), json!([[1, if name == "ann" { 10 } else { 20 }]]));
    }
    assert_eq!(names(&mut worker, &who("zoe", "player", &["*"])).await, json!([]));
}

#[tokio::test]
async fn rows_are_those_of_the_teams_of_who_asks() {
    let (_data, mut worker) = started().await;
    for (teams, rows) in [
        (vec!["reds"], json!([["ann"], ["bob"]])),
        (vec!["blues", "greens"], json!([["cid"]])),
        (vec![], json!([])),
        (vec!["*"], json!([["ann"], ["bob"], ["cid"], ["dan"]])),
    ] {
        let asks = who("x", "scout", &teams);
        assert_eq!(names(&mut worker, &asks).await, rows, "{teams:?}");
    }
}

#[tokio::test]
async fn a_role_that_is_named_nowhere_is_denied() {
    let (_data, mut worker) = started().await;
    for role in ["admin", "analyst", "", "*", "Coach"] {
        for sql in ["SELECT 1 FROM players", "DESCRIBE players", "SELECT * FROM teams, players"] {
            let (kind, why) = worker.refused(&who("x", role, &["*"]), sql).await;
            assert_eq!(kind, RefusalKind::Denied, "{role} {sql}");
            assert_eq!(why, format!("the role `{role}` may not read the table `players`"));
        }
        let lists = "SELECT table_name FROM information_schema.tables WHERE table_name = 'players'";
        assert_eq!(json!(worker.ask(&who("x", role, &[]), lists).await.unwrap().rows), json!([]));
    }
}

#[tokio::test]
async fn who_asks_is_a_value_and_never_text_of_the_query() {
    let (_data, mut worker) = started().await;
    for name in ["x' OR '1'='1", "ann'--", "ann' OR player <> '", "%", "\" OR TRUE"] {
        assert_eq!(names(&mut worker, &who(name, "player", &[])).await, json!([]), "{name}");
        assert_eq!(names(&mut worker, &who("x", "scout", &[name])).await, json!([]), "{name}");
    }
}

/// Everything by which somebody may try to see rows of others.
#[tokio::test]
async fn no_form_of_a_query_shows_rows_of_others() {
    let (_data, mut worker) = started().await;
    let ann = who("ann", "player", &["reds"]);
    let forms = [
        "SELECT * FROM players WHERE player <> 'ann' OR TRUE",
        "SELECT * FROM players WHERE player = 'bob'",
        "SELECT * FROM players p, players q WHERE p.goals <> q.goals",
        "SELECT b.* FROM players a FULL JOIN players b ON FALSE",
        "SELECT q.* FROM teams t LEFT JOIN players q ON t.team <> q.player",
        "SELECT * FROM (SELECT * FROM players) AS identity",
        "WITH players AS (SELECT * FROM public.players) SELECT * FROM players",
        "WITH RECURSIVE r AS (SELECT player FROM players UNION ALL SELECT p.player FROM players p JOIN r ON p.player <> r.player) SELECT * FROM r",
        "SELECT player FROM players UNION ALL SELECT player FROM datafusion.public.players",
        "SELECT (SELECT max(player) FROM players), (SELECT min(player) FROM players)",
        "SELECT town FROM teams WHERE EXISTS (SELECT 1 FROM players WHERE players.player = 'bob')",
        "SELECT town FROM teams WHERE team IN (SELECT team FROM players WHERE goals > 10)",
        "SELECT array_agg(player) FROM players",
        "SELECT string_agg(player, ',') OVER () FROM players",
        "SELECT lag(player) OVER (ORDER BY goals), lead(player) OVER (ORDER BY goals) FROM players",
        "SELECT t.team, x.player FROM teams t, LATERAL (SELECT * FROM players p) x",
        "SELECT player FROM players ORDER BY CASE WHEN player = 'bob' THEN 0 ELSE 1 END LIMIT 1",
        "SELECT player, grouping(player) FROM players GROUP BY ROLLUP (player)",
        "SELECT player FROM players EXCEPT SELECT 'ann'",
    ];
    for sql in forms {
        let text = match worker.ask(&ann, sql).await {
            Ok(answer) => json!(answer.rows).to_string(),
            Err(refusal) => refusal.message,
        };
        let asked_for = |name: &str| sql.contains(name);
        for other in ["bob", "cid", "dan", "Beton"] {
            assert!(
                !text.contains(other) || asked_for(other) && !text.contains('['),
                "{sql}: {text}"
            );
        }
    }
    for sql in ["SELECT count(*) FROM players", "SELECT count(1) FROM players WHERE goals > 0"] {
        assert_eq!(json!(worker.ask(&ann, sql).await.unwrap().rows), json!([[1]]), "{sql}");
    }
}

/// An error that occurs for one row and not for another tells which of them is there.
#[tokio::test]
async fn no_error_tells_what_is_in_a_row_that_may_not_be_read() {
    let (_data, mut worker) = started().await;
    let ann = who("ann", "player", &["reds"]);
    let traps = [
        "SELECT 1 FROM players WHERE 1 / (goals - 20) < 100",
        "SELECT 1 FROM players WHERE player = 'bob' AND 1 / (goals - 20) < 100",
        "SELECT 1 FROM players WHERE CAST(player AS INT) = 1 OR player = 'ann'",
        "SELECT 1 FROM players WHERE player <> 'ann' AND CAST(player AS INT) = 1",
        "SELECT sum(1 / (goals - 20)) FROM players",
        "SELECT p.goals FROM players p JOIN teams t ON 1 / (p.goals - 20) < 100",
        "SELECT 1 FROM players WHERE CASE WHEN goals = 20 THEN 1 / 0 ELSE 1 END = 1",
    ];
    for sql in traps {
        let told = worker.ask(&ann, sql).await;
        // Rows of her own may make it fail, by what is in them.
        let own = told.as_ref().err().is_some_and(|refusal| refusal.message.contains("ann"));
        assert!(told.is_ok() || own || sql.contains("1 / 0"), "{sql}: {told:?}");
    }
    // The same does fail for who may read that row.
    let coach = who("kim", "coach", &[]);
    let (kind, _) = worker.refused(&coach, traps[0]).await;
    assert_eq!(kind, RefusalKind::Failed);
}

#[tokio::test]
async fn a_hidden_column_is_nowhere() {
    let (_data, mut worker) = started().await;
    let forms = [
        "SELECT pay FROM players",
        "SELECT players.pay FROM players",
        "SELECT \"pay\" FROM players",
        "SELECT p.pay FROM players AS p",
        "SELECT goals FROM players WHERE pay > 0",
        "SELECT goals FROM players ORDER BY pay",
        "SELECT max(pay) FROM players",
        "SELECT count(*) FROM players GROUP BY pay",
        "SELECT * EXCLUDE (goals), pay FROM players",
        "WITH x AS (SELECT * FROM players) SELECT pay FROM x",
        "SELECT (SELECT max(pay) FROM players)",
        "SELECT * FROM players p JOIN players q USING (pay)",
        "SELECT sum(goals) OVER (PARTITION BY pay) FROM players",
        "EXPLAIN SELECT pay FROM players",
    ];
    for asks in [who("ann", "player", &[]), who("x", "scout", &["*"]), who("y", "staff", &[])] {
        for sql in forms {
            let (kind, why) = worker.refused(&asks, sql).await;
            assert_eq!(kind, RefusalKind::Invalid, "{sql}");
            // Not among what may have been meant either.
            assert!(!why.contains("players.pay,") && !why.contains("111111"), "{sql}: {why}");
        }
        for sql in [
            "SELECT * FROM players",
            "SELECT p.* FROM players p",
            "TABLE players",
            "DESCRIBE players",
            "EXPLAIN SELECT * FROM players",
            "SHOW COLUMNS FROM players",
            "SELECT * FROM information_schema.columns",
            "SELECT * FROM \"information_schema\".\"columns\"",
            "SELECT * FROM DataFusion.INFORMATION_SCHEMA.Columns",
            "SELECT * FROM information_schema.views",
            "SHOW TABLES",
            "SELECT * FROM players NATURAL JOIN teams",
            "SELECT players FROM players",
        ] {
            let text = match worker.ask(&asks, sql).await {
                Ok(answer) => json!([answer.rows, json!(answer.columns)]).to_string(),
                Err(refusal) => refusal.message,
            };
            assert!(!text.contains("pay") && !text.contains("111111"), "{sql}: {text}");
        }
    }
    let coach = who("kim", "coach", &[]);
    let seen = worker.ask(&coach, "SELECT sum(pay) FROM players").await.unwrap();
    assert_eq!(json!(seen.rows), json!([[1_111_110]]));
}

#[tokio::test]
async fn a_column_by_which_rows_are_left_out_may_be_hidden_itself() {
    let (_data, mut worker) = started().await;
    let guest = who("x", "guest", &["reds"]);
    assert_eq!(names(&mut worker, &guest).await, json!([["ann"]]));
    let all = worker.ask(&guest, "SELECT * FROM players").await.unwrap();
    assert_eq!(json!(all.rows), json!([["ann", 10]]));
    for hidden in ["pay", "team"] {
        for sql in [
            format!("SELECT player FROM players WHERE {hidden} IS NOT NULL"),
            format!("SELECT player FROM players ORDER BY {hidden}"),
            format!("SELECT count(*) FROM players GROUP BY {hidden}"),
            format!("SELECT count(*) FROM players HAVING max({hidden}) IS NOT NULL"),
            format!("SELECT count(DISTINCT {hidden}) FROM players"),
            format!("SELECT row_number() OVER (ORDER BY {hidden}) FROM players"),
            format!("SELECT (SELECT p.{hidden}) FROM players p"),
            format!("SELECT 1 FROM teams t JOIN players p ON p.{hidden} = t.town"),
        ] {
            let (kind, why) = worker.refused(&guest, &sql).await;
            assert_eq!(kind, RefusalKind::Invalid, "{sql}: {why}");
            assert!(!why.contains("111111") && !why.contains("reds"), "{sql}: {why}");
        }
    }
}

#[tokio::test]
async fn names_in_other_letters_and_quotes_lead_to_nothing_more() {
    let (_data, mut worker) = started().await;
    let ann = who("ann", "player", &["reds"]);
    for table in
        ["PLAYERS", "Players", "\"players\"", "public.\"players\"", "DataFusion.PUBLIC.players"]
    {
        let sql = format!("SELECT player FROM {table}");
        assert_eq!(json!(worker.ask(&ann, &sql).await.unwrap().rows), json!([["ann"]]), "{sql}");
    }
    for table in
        ["\"PLAYERS\"", "\"Players\"", "\"public.players\"", "other.players", "a.b.players"]
    {
        worker.refused(&ann, &format!("SELECT player FROM {table}")).await;
        worker.refused(&who("x", "admin", &["*"]), &format!("SELECT 1 FROM {table}")).await;
    }
    for pay in [
        "PAY",
        "Pay",
        "\"pay\"",
        "\"PAY\"",
        "PLAYERS.PAY",
        "\"players\".\"pay\"",
        "public.players.pay",
    ] {
        let (kind, why) = worker.refused(&ann, &format!("SELECT {pay} FROM players")).await;
        assert_eq!(kind, RefusalKind::Invalid, "{pay}: {why}");
        assert!(!why.contains("111111"), "{pay}: {why}");
    }
}

/// The engine may answer sums of whole files from what they say of themselves.
#[tokio::test]
async fn what_a_file_says_of_itself_tells_nothing_of_rows_of_others() {
    let data = Data::new();
    let names = column(StringArray::from(vec!["ann", "bob", "cid"]));
    let columns = ["goals", "pay"].map(|name| (name, column(Int64Array::from(vec![10, 20, 30]))));
    data.parquet("p.parquet", [vec![("player", names)], columns.to_vec()].concat());
    let own = Grant { rows: "player = identity.name AND pay > 0".into(), ..grant(&["player"]) };
    let own = Grant { hidden: vec!["pay".into()], ..own };
    let players = Table { access: vec![own], ..table("players", "p.parquet") };
    let mut worker = Worker::start(&data, vec![players]).await;
    let sql = "SELECT count(*), count(goals), min(goals), max(goals), min(player), max(player) FROM players";
    for (name, row) in [
        ("bob", json!([1, 1, 20, 20, "bob", "bob"])),
        ("zoe", json!([0, 0, null, null, null, null])),
    ] {
        let answer = worker.ask(&who(name, "player", &[]), sql).await.unwrap();
        assert_eq!(json!(answer.rows), json!([row]));
    }
    let plan = worker.ask(&who("bob", "player", &[]), &format!("EXPLAIN {sql}")).await.unwrap();
    assert!(!json!(plan.rows).to_string().contains("30"), "{plan:?}");
}

#[tokio::test]
async fn a_plan_that_is_shown_ends_at_the_guard_of_a_table() {
    let (_data, mut worker) = started().await;
    let ann = who("ann", "player", &["reds"]);
    for sql in ["EXPLAIN SELECT * FROM players", "EXPLAIN SELECT 1 FROM players WHERE goals > 1"] {
        let plan = json!(worker.ask(&ann, sql).await.unwrap().rows).to_string();
        assert!(plan.contains("TableScan: players"), "{plan}");
        for inside in ["pay", "identity", "'ann'", "Utf8(\"ann\")", ".csv", "file"] {
            assert!(!plan.contains(inside), "{inside} in {plan}");
        }
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_not_told_to_who_may_not_see_its_row() {
    let data = Data::new();
    let lines: String = (0..20_000).map(|n| format!("p{n},{n}\n")).collect();
    data.write("late.csv", &format!("player,n\n{lines}bob,SECRET\n"));
    let own = Grant { rows: "player = identity.name".into(), ..grant(&["player"]) };
    let late = Table { access: vec![own, grant(&["coach"])], ..table("late", "late.csv") };
    let mut worker = Worker::start(&data, vec![late]).await;
    let (_, why) = worker.refused(&who("p1", "player", &[]), "SELECT sum(n) FROM late").await;
    assert!(!why.contains("SECRET") && why.contains("`late`"), "{why}");
    let (_, why) = worker.refused(&who("kim", "coach", &[]), "SELECT sum(n) FROM late").await;
    assert!(why.contains("SECRET"), "{why}");
}

#[tokio::test]
async fn a_condition_that_cannot_be_applied_denies_the_table() {
    let data = Data::new();
    data.write("t.csv", "a,b\n1,x\n");
    let with = |rows: &str, columns: &[&str]| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let access = vec![Grant { rows: rows.into(), columns, ..grant(&["*"]) }];
        Table { access, ..table("t", "t.csv") }
    };
    for (wrong, says) in [
        (with("a = = 1", &[]), "is no condition"),
        (with("c = 1", &[]), "`c`"),
        (with("", &["c"]), "`c`"),
        (with("identity.name = ", &[]), "is no condition"),
    ] {
        let mut worker = Worker::start(&data, vec![wrong]).await;
        let (kind, why) = worker.refused(&Who::default(), "SELECT * FROM t").await;
        assert_eq!(kind, RefusalKind::Denied, "{why}");
        assert!(why.contains(says), "{why}");
    }
}

#[tokio::test]
async fn conditions_compare_as_their_values_say_and_what_cannot_be_compared_is_not_shown() {
    let data = Data::new();
    data.write("t.csv", "n,text,flag\n1,1,true\n2,02,false\n30,x,true\n,,\n");
    let cases = [
        ("n = 1", json!([1])),
        ("n >= 2", json!([2, 30])),
        ("n = '30'", json!([30])),
        ("text = 2", json!([2])),
        ("text = '2'", json!([])),
        ("flag = TRUE", json!([1, 30])),
        ("NOT flag = TRUE", json!([2])),
        ("n IN (1, 30)", json!([1, 30])),
        ("n NOT IN (1, 30)", json!([2])),
        ("text IS NULL OR n < 2", json!([null, 1])),
        ("n = 1 AND text = 'x' OR n = 30 AND text = 'x'", json!([30])),
        ("identity.role = 'r' AND n > 1.5", json!([2, 30])),
        ("identity.role <> 'r'", json!([])),
        ("text = identity.name", json!([30])),
        ("TRUE", json!([null, 1, 2, 30])),
        ("FALSE", json!([])),
    ];
    let tables = cases.iter().enumerate().map(|(at, (rows, _))| Table {
        access: vec![Grant { rows: (*rows).into(), ..grant(&["r"]) }],
        ..table(&format!("t{at}"), "t.csv")
    });
    let mut worker = Worker::start(&data, tables.collect()).await;
    for (at, (rows, seen)) in cases.iter().enumerate() {
        let sql = format!("SELECT n FROM t{at} ORDER BY n NULLS FIRST");
        let answer = worker.ask(&who("x", "r", &[]), &sql).await;
        let answer = answer.unwrap_or_else(|refusal| panic!("{rows}: {refusal:?}"));
        let told: Vec<Value> = answer.rows.into_iter().flatten().collect();
        assert_eq!(json!(told), *seen, "{rows}");
    }
}

#[tokio::test]
async fn a_row_without_a_team_is_not_of_another_team_either() {
    let (data, mut tables) = players();
    let others = Grant { rows: "NOT team = ANY(identity.teams)".into(), ..grant(&["rival"]) };
    tables[0].access.push(others);
    let mut worker = Worker::start(&data, tables).await;
    let rival = |teams: &[&str]| who("eve", "rival", teams);
    assert_eq!(names(&mut worker, &rival(&["reds"])).await, json!([["cid"]]));
    assert_eq!(names(&mut worker, &rival(&[])).await, json!([["ann"], ["bob"], ["cid"]]));
}
