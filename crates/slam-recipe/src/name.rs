//! Names of shards and of the folders they live in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The position of a shard in its dataset; its text is `part-00017-of-00120`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ShardName {
    /// Which shard, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl ShardName {
    /// Shard `index` of `count`.
    pub fn new(index: u32, count: u32) -> Self {
        Self { index, count }
    }
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part-{:05}-of-{:05}", self.index, self.count)
    }
}

/// A text that is no shard name.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a shard name; expected part-NNNNN-of-NNNNN")]
pub struct ParseShardNameError(String);

impl FromStr for ShardName {
    type Err = ParseShardNameError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (index, count) = s.strip_prefix("part-")?.split_once("-of-")?;
            let digits = |t: &str| {
                (t.len() >= 5 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse().ok())?
            };
            let name = Self::new(digits(index)?, digits(count)?);
            (name.index < name.count).then_some(name)
        };
        parse().ok_or_else(|| ParseShardNameError(s.to_owned()))
    }
}

impl TryFrom<String> for ShardName {
    type Error = ParseShardNameError;

    fn try_from(s: String) -> Result<Self, Self::Error> {
        s.parse()
    }
}

impl From<ShardName> for String {
    fn from(name: ShardName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_read_back() {
        let name = ShardName::new(17, 120);
        assert_eq!(name.to_string(), "part-00017-of-00120");
        assert_eq!("part-00017-of-00120".parse::<ShardName>().unwrap(), name);
        for bad in
            ["part-17-of-120", "part-00120-of-00120", "part-+0017-of-00120", "", "part-00001"]
        {
            assert!(bad.parse::<ShardName>().is_err(), "{bad}");
        }
    }
}
