//! SALMon (Maimon, Roth and Adi 2024): acoustic consistency and alignment in eight parts.

use std::collections::BTreeMap;
use std::path::Path;

use slam_recipe::item::{BenchmarkItem, Side};
use slam_recipe::source::Suite;

use super::listing::{Listing, NO_ITEM, folder_and_stem, name_or, number, recordings};
use crate::source::{SourceError, SourceFile};

/// Lists `<part>/sample_<i>_….wav`.
pub(super) fn list(suite: &Suite, folder: &Path) -> Result<Listing, SourceError> {
    let name = name_or(suite, "salmon");
    let mut listing = Listing::default();
    let mut samples: BTreeMap<(String, (u64, String)), Vec<SourceFile>> = BTreeMap::new();
    for file in recordings(folder, &mut listing)? {
        let (part, stem) = folder_and_stem(&file.relative);
        let number = stem
            .strip_prefix("sample_")
            .map(|rest| rest.split_once('_').map_or(rest, |(digits, _)| digits))
            .and_then(|digits| Some((number(digits)?, digits.to_owned())));
        match number {
            // `sample_2` and `sample_02` are two samples.
            Some(number) => samples.entry((part.to_owned(), number)).or_default().push(file),
            None => listing.refuse(&file, NO_ITEM, "its name is not sample_<number>_…"),
        }
    }
    for ((part, (number, _)), mut files) in samples {
        files.sort_by(|a, b| a.relative.cmp(&b.relative));
        if files.len() != 2 {
            // Which is the positive shows only beside the other.
            let (reason, error) = match files.len() {
                1 => ("without mate", "its mate is missing".to_owned()),
                n => ("too many of a sample", format!("{n} files of one sample, expected two")),
            };
            for file in &files {
                listing.refuse(file, reason, error.clone());
            }
            continue;
        }
        for (side, file) in [Side::Positive, Side::Negative].into_iter().zip(files) {
            let (_, stem) = folder_and_stem(&file.relative);
            let item = BenchmarkItem {
                suite: name.clone(),
                pair: number.to_string(),
                voice: String::new(),
                kind: part.clone(),
                subkind: String::new(),
                frequency: None,
                side,
                file: Some(stem.to_owned()),
            };
            listing.add(item, file);
        }
    }
    Ok(listing)
}
