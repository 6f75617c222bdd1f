//! What is asked of tables of games: records, seasons, sums.

use datafusion::arrow::array::{Float64Array, StringArray};
use serde_json::json;

use crate::node::Node;
use crate::process::{Data, column, table};

/// 40 won, 31 lost and 11 lost in overtime, of which four were against one opponent.
fn season() -> String {
    let mut games =
        vec![("TOR", "W", 4, 3), ("TOR", "L", 1, 4), ("TOR", "L", 0, 2), ("TOR", "OTL", 0, 3)];
    games.extend((0..39).map(|_| ("BOS", "W", 3, 1)));
    games.extend((0..29).map(|_| ("NYR", "L", 1, 2)));
    games.extend((0..10).map(|_| ("OTT", "OTL", 2, 3)));
    let line = |(opponent, result, scored, against): (&str, &str, i32, i32)| {
        format!("{opponent},{result},{scored},{against}\n")
    };
    let lines: String = games.into_iter().map(line).collect();
    format!("opponent,result,scored,against\n{lines}")
}

const RECORD: &str = "
name: record
inputs:
  opponent: ''
steps:
  - id: games
    tool: sql
    arguments:
      query: >-
        SELECT count(*) FILTER (WHERE result = 'W') AS won, count(*) FILTER (WHERE result = 'L') AS lost,
        count(*) FILTER (WHERE result = 'OTL') AS overtime, sum(scored) AS scored, sum(against) AS against
        FROM season WHERE $1 = '' OR opponent = $1
      parameters: ['{{ inputs.opponent }}']
  - {id: row, value: '{{ steps.games.result.rows[0] }}'}
outputs:
  record: '{{ steps.row.result[0] }}-{{ steps.row.result[1] }}-{{ steps.row.result[2] }}'
  scored: '{{ steps.row.result[3] }}'
  against: '{{ steps.row.result[4] }}'
answer: 'The record is {{ steps.row.result[0] }}-{{ steps.row.result[1] }}-{{ steps.row.result[2] }}.'
";

#[tokio::test]
async fn the_record_against_an_opponent_and_of_the_season_is_counted_from_its_games() {
    let data = Data::new();
    data.write("season.csv", &season());
    let node = Node::start(&data, vec![table("season", "season.csv")]).await;
    let against = node.run(RECORD, json!({"opponent": "TOR"})).await;
    assert_eq!(*against.outputs(), json!({"record": "1-2-1", "scored": 5, "against": 12}));
    assert_eq!(against.answer(), "The record is 1-2-1.");
    assert_eq!(against.steps[0].citations[0].id, "table:season");
    let whole = node.run(RECORD, json!({})).await;
    assert_eq!(whole.outputs()["record"], json!("40-31-11"));
    // A name that is no opponent is none, whatever it holds.
    let nobody = node.run(RECORD, json!({"opponent": "TOR' OR '1'='1"})).await;
    assert_eq!(nobody.outputs()["record"], json!("0-0-0"));
}

const SEASONS: &str = "
name: leaders
inputs:
  season: {type: string}
steps:
  - id: used
    tool: sql
    arguments:
      query: >-
        SELECT season FROM players GROUP BY season ORDER BY season = $1 DESC, season DESC
      parameters: ['{{ inputs.season }}']
      limit: 1
  - {id: season, value: '{{ steps.used.result.rows[0][0] }}'}
  - id: leaders
    tool: sql
    arguments:
      query: SELECT player, goals FROM players WHERE season = $1 ORDER BY goals DESC, player
      parameters: ['{{ steps.season.result }}']
outputs:
  season: '{{ steps.season.result }}'
  requested_season: '{{ inputs.season }}'
  note: >-
    {% if steps.season.result == inputs.season %}{% else %}There is nothing of {{ inputs.season }}; this is of
    {{ steps.season.result }}, the most recent season.{% endif %}
  leader: '{{ steps.leaders.result.rows[0][0] }}'
";

#[tokio::test]
async fn a_season_without_a_file_is_answered_by_the_most_recent_one_and_a_note() {
    let data = Data::new();
    for (season, player) in [("2022-2023", "ann"), ("2023-2024", "bob"), ("2024-2025", "cid")] {
        let text = format!("season,player,goals\n{season},{player},30\n{season},zoe,20\n");
        data.write(&format!("players/{season}.csv"), &text);
    }
    let node = Node::start(&data, vec![table("players", "players")]).await;
    let there = node.run(SEASONS, json!({"season": "2022-2023"})).await;
    assert_eq!(
        *there.outputs(),
        json!({
            "season": "2022-2023", "requested_season": "2022-2023", "note": "", "leader": "ann"
        })
    );
    let absent = node.run(SEASONS, json!({"season": "2031-2032"})).await;
    let note = "There is nothing of 2031-2032; this is of 2024-2025, the most recent season.";
    assert_eq!(
        *absent.outputs(),
        json!({
            "season": "2024-2025", "requested_season": "2031-2032", "note": note, "leader": "cid"
        })
    );
}

const UNITS: &str = "
name: units
steps:
  - id: units
    tool: sql
    arguments:
      query: SELECT unit, share FROM units ORDER BY share DESC
  - id: sums
    tool: sql
    arguments:
      query: SELECT count(*), sum(seconds), sum(expected), sum(shots) FROM units
outputs:
  best: '{{ steps.units.result.rows[0][0] }}'
  shares: '{{ steps.units.result.rows | map(\"last\") | list }}'
  sums: '{{ steps.sums.result.rows[0] }}'
";

#[tokio::test]
async fn units_are_ordered_by_their_share_and_summed() {
    let data = Data::new();
    let names: Vec<String> = (0..11).map(|n| format!("unit {n}")).collect();
    let values = |of: fn(u32) -> f64| Float64Array::from_iter_values((0..11).map(of));
    data.parquet(
        "units.parquet",
        vec![
            ("unit", column(StringArray::from(names))),
            ("share", column(values(|n| f64::from(n * 7 % 11) / 11.0))),
            ("seconds", column(values(|n| 1_000.0 + f64::from(n) * 10.5))),
            ("expected", column(values(|n| 1.5 + f64::from(n) * 0.25))),
            ("shots", column(values(|n| 50.0 + f64::from(n)))),
        ],
    );
    let node = Node::start(&data, vec![table("units", "units.parquet")]).await;
    let ended = node.run(UNITS, json!({})).await;
    let outputs = ended.outputs();
    assert_eq!(outputs["best"], json!("unit 3"));
    assert_eq!(outputs["sums"], json!([11, 11_577.5, 30.25, 605.0]));
    let shares: Vec<f64> = serde_json::from_value(outputs["shares"].clone()).unwrap();
    assert_eq!(shares.len(), 11);
    assert!(shares.is_sorted_by(|one, other| one >= other), "{shares:?}");
}
