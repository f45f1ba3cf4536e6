//! A suite's folder, read in its layout.

use std::path::Path;

use slam_recipe::source::{Layout, Suite};

use super::listing::Listing;
use super::{salmon, slamkit, story_cloze, zerospeech};
use crate::source::SourceError;

/// Lists a suite in its folder.
///
/// # Errors
/// If the folder or its gold file cannot be read, or holds no recordings.
pub fn list(suite: &Suite, folder: &Path) -> Result<Listing, SourceError> {
    let mut listing = match suite.layout {
        Layout::Zerospeech => zerospeech::list(suite, folder)?,
        Layout::SlamkitSwuggy => slamkit::list(suite, folder, "swuggy", '_')?,
        Layout::SlamkitSblimp => slamkit::list(suite, folder, "sblimp", '+')?,
        Layout::StoryCloze => story_cloze::list(suite, folder)?,
        Layout::Salmon => salmon::list(suite, folder)?,
    };
    listing.files.sort_by(|a, b| a.0.cmp(&b.0));
    listing.refuse_same_ids();
    Ok(listing)
}
