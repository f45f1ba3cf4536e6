//! torch's `.bin` and `.pt`: a zip of one pickle and stored (uncompressed) tensor storages.

use super::entry::Entry;
use super::error::FileFault;
use super::pickle::{Pickle, Plain};
use super::torch_tensors::state_dict;
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) fn entries(map: &[u8], file: usize) -> Result<Vec<(String, Entry)>, FileFault> {
    let members = zip_members(map)?;
    let (prefix, range) = members
        .iter()
        .find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone())))
        .ok_or(FileFault::NoPickle)?;
    let pickle = Pickle::read(&map[range], &mut Plain)?;
    let storage = |key: &str| members.get(&format!("{prefix}data/{key}")).cloned();
    state_dict(&pickle, &storage, file)
}

fn number(bytes: &[u8], at: usize, n: usize) -> Option<u64> {
    Some(bytes.get(at..at.checked_add(n)?)?.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
}

/// The stored members of a zip archive (PKWARE APPNOTE 6.3.9, with zip64).
fn zip_members(map: &[u8]) -> Result<BTreeMap<String, Range<usize>>, FileFault> {
    let damaged = |at| FileFault::Zip { at };
    let from = map.len().saturating_sub(22 + 0xffff);
    let end = (from..map.len().saturating_sub(21))
        .rev()
        .find(|at| map[*at..].starts_with(b"PK\x05\x06"))
        .ok_or(damaged(map.len()))?;
    let field = |at, n| number(map, at, n).ok_or(damaged(at));
    let (mut count, mut at) = (field(end + 10, 2)?, field(end + 16, 4)?);
    if (count == 0xffff || at == 0xffff_ffff) && end >= 20 {
        let record = field(end - 20 + 8, 8)? as usize;
        if map.get(record..).is_some_and(|m| m.starts_with(b"PK\x06\x06")) {
            count = field(record.saturating_add(32), 8)?;
            at = field(record.saturating_add(48), 8)?;
        }
    }
    let mut at = at as usize;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        if !map.get(at..).is_some_and(|m| m.starts_with(b"PK\x01\x02")) {
            return Err(damaged(at));
        }
        let method = field(at + 10, 2)?;
        let (mut packed, mut size) = (field(at + 20, 4)?, field(at + 24, 4)?);
        let (name_len, extra_len) = (field(at + 28, 2)? as usize, field(at + 30, 2)? as usize);
        let comment_len = field(at + 32, 2)? as usize;
        let mut local = field(at + 42, 4)?;
        let name = map.get(at + 46..at + 46 + name_len).ok_or(damaged(at))?;
        let name = String::from_utf8_lossy(name).into_owned();
        let mut extra = at + 46 + name_len;
        let next = extra + extra_len + comment_len;
        while extra + 4 <= next - comment_len {
            let (id, len) = (field(extra, 2)?, field(extra + 2, 2)? as usize);
            if id == 1 {
                let mut value = extra + 4;
                for slot in [&mut size, &mut packed, &mut local] {
                    if *slot == 0xffff_ffff {
                        *slot = field(value, 8)?;
                        value += 8;
                    }
                }
            }
            extra += 4 + len;
        }
        let local = local as usize;
        let skip = field(local.saturating_add(26), 2)? + field(local.saturating_add(28), 2)?;
        let start = local.saturating_add(30 + skip as usize);
        let end = start.saturating_add(size as usize);
        if end > map.len() {
            return Err(damaged(local));
        }
        if method != 0 || packed != size {
            return Err(FileFault::Compressed { member: name });
        }
        members.insert(name, start..end);
        at = next;
    }
    Ok(members)
}
