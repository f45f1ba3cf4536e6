//! The spoken StoryClozes: sSC and tSC (Hassid et al. 2023).

use std::path::Path;

use slam_recipe::item::{BenchmarkItem, Side};
use slam_recipe::source::Suite;

use super::listing::{Listing, NO_ITEM, folder_and_stem, name_or, recordings};
use crate::source::SourceError;

/// Lists `0_<id>_correct.wav` and `1_<id>_incorrect.wav`; a folder above them is the speaker.
pub(super) fn list(suite: &Suite, folder: &Path) -> Result<Listing, SourceError> {
    let name = name_or(suite, "story-cloze");
    let mut listing = Listing::default();
    for file in recordings(folder, &mut listing)? {
        let (voice, stem) = folder_and_stem(&file.relative);
        let (side, lead, rest) = if let Some(rest) = stem.strip_suffix("_incorrect") {
            (Side::Negative, "1_", rest)
        } else if let Some(rest) = stem.strip_suffix("_correct") {
            (Side::Positive, "0_", rest)
        } else if stem.ends_with("_mutual") {
            listing.refuse(
                &file,
                "shared beginnings",
                "the shared beginning of the cross-modal variant, whose other files are endings alone; \
                 score the variant with whole stories",
            );
            continue;
        } else {
            listing.refuse(
                &file,
                NO_ITEM,
                "its name ends neither with _correct nor with _incorrect",
            );
            continue;
        };
        let item = BenchmarkItem {
            suite: name.clone(),
            pair: rest.strip_prefix(lead).unwrap_or(rest).to_owned(),
            voice: voice.to_owned(),
            kind: String::new(),
            subkind: String::new(),
            frequency: None,
            side,
            file: Some(stem.to_owned()),
        };
        listing.add(item, file);
    }
    Ok(listing)
}
