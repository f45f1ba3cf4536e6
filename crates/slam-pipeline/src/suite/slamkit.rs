//! Slamkit's folders for sWUGGY and sBLIMP.

use std::path::Path;

use slam_recipe::item::{BenchmarkItem, Side};
use slam_recipe::source::Suite;

use super::listing::{Listing, NO_ITEM, folder_and_stem, name_or, number, recordings};
use crate::source::SourceError;

/// Lists `<kind>/<n><mark>….wav`: slamkit sorts by n and takes every second file for the positive, which is
/// that of an even n where no file is missing; the number, not the place, decides here, so that a missing
/// file does not turn all pairs behind it around.
pub(super) fn list(
    suite: &Suite,
    folder: &Path,
    name: &str,
    mark: char,
) -> Result<Listing, SourceError> {
    let name = name_or(suite, name);
    let mut listing = Listing::default();
    for file in recordings(folder, &mut listing)? {
        let (kind, stem) = folder_and_stem(&file.relative);
        let number = number(stem.split_once(mark).map_or(stem, |(number, _)| number));
        let Some(number) = number else {
            listing.refuse(
                &file,
                NO_ITEM,
                format!("its name does not begin with a number and '{mark}'"),
            );
            continue;
        };
        let item = BenchmarkItem {
            suite: name.clone(),
            pair: (number / 2).to_string(),
            voice: String::new(),
            kind: kind.to_owned(),
            subkind: String::new(),
            frequency: None,
            side: if number.is_multiple_of(2) { Side::Positive } else { Side::Negative },
            file: Some(stem.to_owned()),
        };
        listing.add(item, file);
    }
    Ok(listing)
}
