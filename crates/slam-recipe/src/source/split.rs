//! The split of a source that names none.

pub(super) fn train() -> String {
    "train".to_owned()
}
