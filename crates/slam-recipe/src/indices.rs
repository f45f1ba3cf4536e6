//! Lists of shard numbers as people write them: `0-9,17`.

/// A list that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a list of shards; write numbers and ranges, e.g. 0-9,17")]
pub struct ParseIndicesError(String);

/// Numbers of a list such as `0-9,17`, sorted, each once.
///
/// # Errors
/// If a part is no number or range, or a range runs backwards.
pub fn parse(text: &str) -> Result<Vec<u32>, ParseIndicesError> {
    let bad = || ParseIndicesError(text.to_owned());
    let mut out = Vec::new();
    for part in text.split(',') {
        let number = |t: &str| t.trim().parse::<u32>().map_err(|_| bad());
        let (first, last) = match part.split_once('-') {
            Some((a, b)) => (number(a)?, number(b)?),
            None => (number(part)?, number(part)?),
        };
        // A shard count has five digits; a longer range is a slip of the finger, not a wish.
        if first > last || last - first > 1_000_000 {
            return Err(bad());
        }
        out.extend(first..=last);
    }
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read() {
        assert_eq!(parse("3,17-20,4,18"), Ok(vec![3, 4, 17, 18, 19, 20]));
        for bad in ["", "a", "3-", "5-3", "1,,2", "-1", "0-4294967295"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
