//! Files as they change.

use std::os::unix::fs::symlink;

use datafusion::arrow::array::{Int64Array, StringArray};
use perennial_sql_protocol::{RefusalKind, Who};
use serde_json::json;

use crate::process::{Data, Worker, column, table};

#[tokio::test]
async fn a_file_that_was_written_anew_is_read_anew() {
    let data = Data::new();
    let parquet = |values: Vec<i64>| {
        data.parquet("p.parquet", vec![("n", column(Int64Array::from(values)))]);
    };
    data.write("c.csv", "n\n1\n2\n");
    parquet(vec![1, 2]);
    let mut worker = Worker::start(&data, vec![table("c", "c.csv"), table("p", "p.parquet")]).await;
    for name in ["c", "p"] {
        assert_eq!(json!(worker.rows(&format!("SELECT sum(n) FROM {name}")).await), json!([[3]]));
    }
    // Of the same length, and with other columns after that.
    data.write("c.csv", "n\n1\n9\n");
    parquet(vec![1, 9]);
    for name in ["c", "p"] {
        let sql = format!("SELECT sum(n), max(n), count(*) FROM {name}");
        assert_eq!(json!(worker.rows(&sql).await), json!([[10, 9, 2]]), "{name}");
    }
    data.write("c.csv", "n,m\n1,a\n");
    data.parquet("p.parquet", vec![("m", column(StringArray::from(vec!["a"])))]);
    for name in ["c", "p"] {
        assert_eq!(json!(worker.rows(&format!("SELECT m FROM {name}")).await), json!([["a"]]));
    }
}

#[tokio::test]
async fn a_table_of_several_files_has_the_rows_of_all_of_them_as_they_come_and_go() {
    let data = Data::new();
    data.write("s/games_1.csv", "n,share\n1,1\n").write("s/other.csv", "n\n100\n");
    let mut worker = Worker::start(&data, vec![table("games", "s/games_*.csv")]).await;
    assert_eq!(json!(worker.rows("SELECT sum(n) FROM games").await), json!([[1]]));
    // The types of all of them are what each can be read as.
    data.write("s/games_2.csv", "n,share\n2,0.5\n").write("s/games_3.csv", "n,share\n4,\n");
    let sql = "SELECT n, share FROM games ORDER BY n";
    assert_eq!(json!(worker.rows(sql).await), json!([[1, 1.0], [2, 0.5], [4, null]]));
    std::fs::remove_file(data.path().join("s/games_2.csv")).unwrap();
    assert_eq!(json!(worker.rows("SELECT sum(n) FROM games").await), json!([[5]]));
}

#[tokio::test]
async fn columns_are_told_apart_by_name_in_parquet_and_must_be_the_same_in_csv() {
    let data = Data::new();
    let (n, m) = (|| column(Int64Array::from(vec![1])), || column(Int64Array::from(vec![20])));
    data.parquet("p_1.parquet", vec![("n", n()), ("m", m())]);
    data.parquet("p_2.parquet", vec![("m", m()), ("n", n())]);
    data.parquet("p_3.parquet", vec![("n", n())]);
    data.write("c_1.csv", "n,m\n1,20\n").write("c_2.csv", "m,n\n20,1\n");
    let tables = vec![table("p", "p_*.parquet"), table("c", "c_*.csv")];
    let mut worker = Worker::start(&data, tables).await;
    let sums = worker.rows("SELECT sum(n), sum(m), count(*), count(m) FROM p").await;
    assert_eq!(json!(sums), json!([[3, 40, 3, 2]]));
    let (kind, why) = worker.refused(&Who::default(), "SELECT sum(n) FROM c").await;
    assert_eq!(kind, RefusalKind::Failed);
    assert!(why.contains("c_2.csv has other columns"), "{why}");
}

#[tokio::test]
async fn a_table_whose_files_cannot_be_read_says_why_and_costs_no_other_its_rows() {
    let (data, outside) = (Data::new(), Data::new());
    data.write("good.csv", "n\n1\n").write("bad.parquet", "this is no Parquet");
    outside.write("secret.csv", "n\n1\n");
    symlink(outside.path().join("secret.csv"), data.path().join("link.csv")).unwrap();
    let tables = vec![
        table("good", "good.csv"),
        table("bad", "bad.parquet"),
        table("link", "link.csv"),
        table("none", "none.csv"),
    ];
    let mut worker = Worker::start(&data, tables).await;
    for (name, says) in
        [("bad", "bad.parquet cannot be read"), ("link", "leads out"), ("none", "has no file")]
    {
        let (kind, why) =
            worker.refused(&Who::default(), &format!("SELECT * FROM good, {name}")).await;
        assert_eq!(kind, RefusalKind::Failed);
        assert!(why.contains(&format!("`{name}`")) && why.contains(says), "{why}");
    }
    assert_eq!(json!(worker.rows("SELECT n FROM good").await), json!([[1]]));
}
