//! What is read, and how it is answered.

use datafusion::arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int32Type;
use perennial_sql_protocol::{Cut, FromWorker, RefusalKind, ToWorker, Who};
use serde_json::json;

use crate::process::{Data, Worker, column, table};

const GAMES: &str = "day,opponent,goals\n2024-10-05,reds,3\n2024-10-07,blues,\n2024-10-09,reds,1\n";

#[tokio::test]
async fn rows_of_a_csv_file_are_read_with_the_types_that_its_lines_suggest() {
    let data = Data::new();
    data.write("games.csv", GAMES);
    let mut worker = Worker::start(&data, vec![table("games", "games.csv")]).await;
    let answer = worker.ask(&Who::default(), "SELECT * FROM games ORDER BY day").await.unwrap();
    let columns: Vec<_> =
        answer.columns.iter().map(|c| (c.name.as_str(), c.r#type.as_str())).collect();
    assert_eq!(columns, [("day", "date"), ("opponent", "string"), ("goals", "integer")]);
    assert_eq!(json!(answer.rows[0]), json!(["2024-10-05", "reds", 3]));
    assert_eq!(json!(answer.rows[1]), json!(["2024-10-07", "blues", null]));
    assert_eq!((answer.cut, answer.tables), (None, vec!["games".to_owned()]));
}

#[tokio::test]
async fn every_type_of_a_parquet_file_arrives_as_json_can_say_it() {
    let data = Data::new();
    let lists = vec![Some(vec![Some(1), None]), None];
    data.parquet(
        "all.parquet",
        vec![
            ("i", column(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
            ("f", column(Float64Array::from(vec![0.5, f64::INFINITY]))),
            ("b", column(BooleanArray::from(vec![true, false]))),
            ("s", column(StringArray::from(vec!["it's", ""]))),
            ("d", column(Date32Array::from(vec![20_000, 0]))),
            ("t", column(TimestampMicrosecondArray::from(vec![1_000_001, 0]))),
            (
                "m",
                column(
                    Decimal128Array::from(vec![12_345, 0]).with_precision_and_scale(10, 2).unwrap(),
                ),
            ),
            ("l", column(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ],
    );
    let mut worker = Worker::start(&data, vec![table("t", "all.parquet")]).await;
    let rows = worker.rows("SELECT * FROM t").await;
    let first = json!([
        9_007_199_254_740_993_i64,
        0.5,
        true,
        "it's",
        "2024-10-04",
        "1970-01-01T00:00:01.000001",
        "123.45",
        [1, null]
    ]);
    assert_eq!(json!(rows[0]), first);
    let second = json!([null, "inf", false, "", "1970-01-01", "1970-01-01T00:00:00", "0.00", null]);
    assert_eq!(json!(rows[1]), second);
    let counted = worker.rows("SELECT count(*), sum(i), max(d) FROM t").await;
    assert_eq!(json!(counted), json!([[2, 9_007_199_254_740_993_i64, "2024-10-04"]]));
}

#[tokio::test]
async fn an_answer_that_does_not_have_all_rows_says_why() {
    let data = Data::new();
    let lines: String = (0..50).map(|n| format!("{n},{}\n", "x".repeat(9_000))).collect();
    data.write("long.csv", &format!("n,text\n{lines}"));
    let mut worker = Worker::start(&data, vec![table("long", "long.csv")]).await;
    let nobody = Who::default();
    for (limit, rows, cut) in [(10, 10, Some(Cut::Rows)), (50, 50, None), (60, 50, None)] {
        let id = worker.begin(&nobody, "SELECT n FROM long", limit).await;
        let answer = worker.answer(id).await.unwrap();
        assert_eq!((answer.rows.len(), answer.cut), (rows, cut), "{limit}");
    }
    let answer = worker.ask(&nobody, "SELECT * FROM long").await.unwrap();
    assert_eq!((answer.rows.len(), answer.cut), (22, Some(Cut::Bytes)));
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_with_what_there_is() {
    let data = Data::new();
    data.write("games.csv", GAMES);
    let mut worker = Worker::start(&data, vec![table("games", "games.csv")]).await;
    let nobody = Who::default();
    let (kind, why) = worker.refused(&nobody, "SELECT goal FROM games").await;
    assert_eq!(kind, RefusalKind::Invalid);
    assert!(why.contains("goal") && why.contains("games.goals"), "{why}");
    let (kind, why) = worker.refused(&nobody, "SELECT * FROM gmaes").await;
    assert_eq!(kind, RefusalKind::Invalid);
    assert_eq!(why, "there is no table `gmaes`; did you mean `games`?");
    let (kind, why) = worker.refused(&nobody, "SELEKT 1").await;
    assert_eq!(kind, RefusalKind::Invalid);
    assert!(why.contains("SELEKT"), "{why}");
}

/// What writes, sets or is more than one statement.
const REFUSED: [&str; 32] = [
    "INSERT INTO games VALUES ('2024-10-10', 'x', 1)",
    "INSERT OVERWRITE games SELECT * FROM games",
    "EXPLAIN INSERT INTO games SELECT * FROM games",
    "WITH x AS (SELECT 1) INSERT INTO games SELECT * FROM games",
    "PREPARE p AS INSERT INTO games SELECT * FROM games",
    "MERGE INTO games USING games g ON TRUE WHEN MATCHED THEN DELETE",
    "UPDATE games SET goals = 9",
    "DELETE FROM games",
    "TRUNCATE TABLE games",
    "CREATE TABLE x AS SELECT * FROM games",
    "CREATE VIEW x AS SELECT * FROM games",
    "CREATE FUNCTION f() RETURNS INT RETURN 1",
    "CREATE SCHEMA x",
    "CREATE DATABASE x",
    "DROP TABLE games",
    "SELECT * INTO x FROM games",
    "USE x",
    "SET datafusion.execution.batch_size = 1",
    "set time zone = 'UTC'",
    "RESET datafusion.execution.batch_size",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE games",
    "EXPLAIN ANALYZE SELECT * FROM games",
    "EXPLAIN VERBOSE SELECT * FROM games",
    "EXPLAIN COPY games TO 'x.csv'",
    "EXPLAIN CREATE VIEW x AS SELECT 1",
    "SHOW ALL",
    "SELECT * FROM information_schema.df_settings",
    "",
];

/// What names a file, for FILE and OUT.
const OF_FILES: [&str; 10] = [
    "COPY games TO 'OUT'",
    "copy (SELECT 1) to 'OUT' stored as csv",
    "EXPLAIN COPY games TO 'OUT'",
    "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION 'FILE'",
    "/* reads */ CREATE EXTERNAL TABLE games STORED AS PARQUET LOCATION 'FILE'",
    "SELECT * FROM 'FILE'",
    "SELECT * FROM \"FILE\"",
    "SELECT * FROM 'file://FILE'",
    "SELECT * FROM read_csv('FILE')",
    "SELECT * FROM parquet_metadata('FILE')",
];

#[tokio::test]
async fn nothing_is_taken_but_one_statement_that_reads() {
    let data = Data::new();
    data.write("games.csv", GAMES);
    let mut worker = Worker::start(&data, vec![table("games", "games.csv")]).await;
    let path = |name: &str| data.path().join(name).display().to_string();
    let (file, out) = (path("games.csv"), path("out.csv"));
    let of_files = OF_FILES.map(|sql| sql.replace("FILE", &file).replace("OUT", &out));
    let statements = REFUSED.into_iter().map(str::to_owned).chain(of_files);
    for sql in statements {
        let (kind, why) = worker.refused(&Who::default(), &sql).await;
        assert!(
            matches!(kind, RefusalKind::Invalid | RefusalKind::Denied),
            "{sql}: {kind:?} {why}"
        );
    }
    assert_eq!(json!(worker.rows("SELECT count(*) FROM games").await), json!([[3]]));
    let left: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn what_reads_is_taken_in_all_its_forms() {
    let data = Data::new();
    data.write("games.csv", GAMES);
    let mut worker = Worker::start(&data, vec![table("games", "games.csv")]).await;
    let taken = [
        (
            "WITH r AS (SELECT * FROM games WHERE opponent = 'reds') SELECT sum(goals) FROM r",
            json!([[4]]),
        ),
        ("SELECT goals FROM games WHERE day = (SELECT min(day) FROM games)", json!([[3]])),
        ("SELECT 1 UNION ALL SELECT 2 ORDER BY 1", json!([[1], [2]])),
        (
            "SELECT a.day FROM games a JOIN games b ON a.day = b.day AND b.goals = 1",
            json!([["2024-10-09"]]),
        ),
        ("SELECT count(*) FILTER (WHERE goals > 1) FROM public.games", json!([[1]])),
        ("VALUES (1, 'a')", json!([[1, "a"]])),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT sum(n) FROM r",
            json!([[10]]),
        ),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
            json!([["games"]]),
        ),
    ];
    for (sql, rows) in taken {
        assert_eq!(json!(worker.rows(sql).await), rows, "{sql}");
    }
    let described = worker.rows("DESCRIBE games").await;
    assert_eq!(described.len(), 3);
    let plan = json!(worker.rows("EXPLAIN SELECT goals FROM games WHERE goals > 1").await);
    assert!(plan.to_string().contains("TableScan: games"), "{plan}");
}

#[tokio::test]
async fn parameters_are_values_and_never_text_of_the_query() {
    let data = Data::new();
    data.write("games.csv", GAMES);
    let mut worker = Worker::start(&data, vec![table("games", "games.csv")]).await;
    let sql = "SELECT count(*) FROM games WHERE opponent = $1 AND (goals >= $2 OR $3)";
    for (parameters, count) in [
        (json!(["reds", 2, false]), 1),
        (json!(["reds", 0.5, false]), 2),
        (json!(["blues", 9, true]), 1),
        (json!(["x' OR '1'='1", 0, true]), 0),
        (json!([null, 0, true]), 0),
    ] {
        let answer = worker.ask_with(sql, parameters.clone()).await.unwrap();
        assert_eq!(json!(answer.rows), json!([[count]]), "{parameters}");
    }
    for parameters in [json!([]), json!([["reds"], 1, true])] {
        let refusal = worker.ask_with(sql, parameters.clone()).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{parameters}: {refusal:?}");
    }
}

#[tokio::test]
async fn queries_are_answered_side_by_side_each_under_its_number() {
    let data = Data::new();
    data.write("games.csv", GAMES);
    let mut worker = Worker::start(&data, vec![table("games", "games.csv")]).await;
    worker.say(&ToWorker::Ping).await;
    assert_eq!(worker.hear().await, Some(FromWorker::Pong));
    let mut ids = Vec::new();
    for n in 0..8 {
        let sql = format!("SELECT {n} FROM games LIMIT 1");
        ids.push(worker.begin(&Who::default(), &sql, 10).await);
    }
    let mut answered = Vec::new();
    for _ in &ids {
        let Some(FromWorker::Answered { id, answer }) = worker.hear().await else { panic!() };
        let place = ids.iter().position(|known| *known == id).unwrap();
        assert_eq!(json!(answer.rows), json!([[place]]));
        answered.push(id);
    }
    answered.sort_unstable();
    assert_eq!(answered, ids);
}
