//! Scores as tables for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::aggregate::{Accuracy, CHANCE, Comparison, Spread, SuiteScore};
use crate::record::ScoredShard;

/// Returns a table of scores: each suite and its parts, what was scored, and the convention.
pub fn scores(suites: &[SuiteScore]) -> String {
    let parts = |s: &SuiteScore| {
        let kinds = s.kinds.iter().filter(|_| s.kinds.len() > 1);
        let kinds = kinds.map(|(kind, a)| (format!("  {kind}"), a.clone()));
        let named = s.bands.iter().chain(&s.subkinds);
        let named = named.map(|p| (format!("  {}", p.name), p.accuracy.clone()));
        kinds.chain(named).collect::<Vec<_>>()
    };
    let rows: Vec<(String, Accuracy, &str)> = suites
        .iter()
        .flat_map(|s| {
            let whole = (s.suite.clone(), s.all.clone(), s.convention.name());
            std::iter::once(whole).chain(parts(s).into_iter().map(|(name, a)| (name, a, "")))
        })
        .collect();
    let width = rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0).max(5);
    let mut out = format!(
        "{:width$} {:>7} {:>7} {:>6}   {:<23} {:>6}   convention\n",
        "suite", "pairs", "items", "ties", "score [95 % interval]", "chance"
    );
    for (name, a, convention) in rows {
        // A part's line ends with its last figure.
        let line = format!(
            "{name:width$} {:>7} {:>7} {:>6}   {:<23} {:>6}   {convention}",
            a.pairs,
            a.items,
            a.ties,
            percent(a.share, a.low, a.high),
            format!("{:.0} %", 100.0 * CHANCE),
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out.push_str("intervals: bootstrap over items, the voices of an item drawn together");
    out
}

/// Formats `61.2 % [58.0, 64.3]`.
pub(crate) fn percent(share: f64, low: f64, high: f64) -> String {
    let [share, low, high] = [share, low, high].map(|v| 100.0 * v);
    format!("{share:.1} % [{low:.1}, {high:.1}]")
}

/// Returns what was scored: rows, split, hash, and what was left out of each shard.
pub fn scored(shards: &[ScoredShard]) -> String {
    let mut out = String::new();
    for s in shards {
        let rows = s.rows.map_or("unknown rows".to_owned(), |n| format!("{n} rows"));
        let splits =
            if s.splits.is_empty() { "unknown".to_owned() } else { s.splits.join(" and ") };
        let _ = writeln!(
            out,
            "scored {}: {rows}, split {splits}, blake3 {}{}",
            s.path.display(),
            s.blake3.short(),
            left_out(&s.left_out)
        );
    }
    out.truncate(out.trim_end().len());
    out
}

/// Formats `; left out: 2 without mate, 1 twice`.
pub fn left_out(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "; nothing left out".to_owned();
    }
    let counts: Vec<_> = counts.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    format!("; left out: {}", counts.join(", "))
}

/// Returns a comparison of two models, suite by suite.
pub fn comparison(first: &str, second: &str, suites: &[(String, Comparison)]) -> String {
    let width = suites.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(5);
    let mut out = format!("{second} against {first}, on the same items\n");
    let _ = writeln!(
        out,
        "{:width$} {:>7} {:>9} {:>9}   {:<27} {:>6} {:>6}",
        "suite", "pairs", "first", "second", "difference [95 % interval]", "better", "worse"
    );
    for (name, c) in suites {
        let [first, second] = [c.first, c.second].map(|v| format!("{:.1} %", 100.0 * v));
        let difference = format!(
            "{:+.1} [{:+.1}, {:+.1}]{}",
            100.0 * c.difference,
            100.0 * c.low,
            100.0 * c.high,
            if c.is_clear() { "" } else { " unclear" }
        );
        let _ = writeln!(
            out,
            "{name:width$} {:>7} {first:>9} {second:>9}   {difference:<27} {:>6} {:>6}",
            c.pairs, c.won, c.lost
        );
        if c.only_first + c.only_second > 0 {
            let _ = writeln!(
                out,
                "{:width$} left out: {} pairs that only the first has, {} that only the second has",
                "", c.only_first, c.only_second
            );
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Returns how scores vary over runs of one recipe with several seeds, suite by suite.
pub fn spreads(suites: &[(String, Spread)]) -> String {
    let width = suites.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(5);
    let mut out =
        format!("{:width$} {:>5} {:>8} {:>8}   range over seeds\n", "suite", "runs", "mean", "sd");
    for (name, s) in suites {
        let sd = s.sd.map_or("—".to_owned(), |sd| format!("{:.2}", 100.0 * sd));
        let _ = writeln!(
            out,
            "{name:width$} {:>5} {:>8} {sd:>8}   {:.1}–{:.1} %",
            s.runs,
            format!("{:.1} %", 100.0 * s.mean),
            100.0 * s.min,
            100.0 * s.max
        );
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Convention, compare, spread, summarise};
    use slam_dataset::schema::Score;
    use slam_recipe::item::PairItem;

    fn some(won: usize) -> Vec<Score> {
        (0..100)
            .map(|i| Score {
                item: PairItem {
                    suite: "swuggy-dev".into(),
                    pair: i.to_string(),
                    frequency: Some(i as u32),
                    ..Default::default()
                },
                positive_nll: if i < won { 1.0 } else { 3.0 },
                negative_nll: 2.0,
                ..Default::default()
            })
            .collect()
    }

    #[test]
    fn a_table_says_what_and_how() {
        let table = scores(&summarise(&some(60), None));
        for text in ["60.0 % [", "50 %", "zerospeech", "  in-vocabulary", "99", "  frequency 5–19"]
        {
            assert!(table.contains(text), "no '{text}' in\n{table}");
        }
    }

    #[test]
    fn what_was_left_out_is_said_with_counts() {
        let counts = BTreeMap::from([("twice".to_owned(), 1), ("without mate".to_owned(), 2)]);
        assert_eq!(left_out(&counts), "; left out: 1 twice, 2 without mate");
        assert_eq!(left_out(&BTreeMap::new()), "; nothing left out");
    }

    #[test]
    fn comparisons_and_spreads_are_read_at_a_glance() {
        let name = "swuggy-dev".to_owned();
        let c = compare(&some(50), &some(70), &name, Convention::Slamkit);
        let text = comparison("a", "b", &[(name.clone(), c)]);
        assert!(text.contains("+20.0 [+") && !text.contains("unclear"), "{text}");
        let s = spread(&[0.5, 0.6]);
        let text = spreads(&[(name, s.unwrap_or_else(|| unreachable!()))]);
        assert!(text.contains("55.0 %") && text.contains("7.07"), "{text}");
    }
}
