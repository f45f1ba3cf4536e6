//! Links from the report to the files that it describes. They are relative, so that a run's folder can move
//! together with its data.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

/// Returns the path from the folder of `page` to `target`, with `/` between names. Characters that a link
/// must escape are escaped.
pub(super) fn relative(page: &Path, target: &Path) -> String {
    let absolute = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    let (page, target) = (absolute(page), absolute(target));
    let from: Vec<Component<'_>> = page.parent().unwrap_or(&page).components().collect();
    let to: Vec<Component<'_>> = target.components().collect();
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let down = to[shared..].iter().map(|c| escape(&c.as_os_str().to_string_lossy()));
    let way: Vec<String> = up.chain(down).collect();
    if way.is_empty() { ".".to_owned() } else { way.join("/") }
}

/// Percent-encodes all characters of a path segment that are not plain.
fn escape(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Returns the link to a shard's folder.
pub(super) fn folder(page: &Path, shard: Option<&PathBuf>) -> Option<String> {
    shard.and_then(|p| p.parent()).map(|folder| relative(page, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_go_up_and_down_and_are_escaped() {
        let page = Path::new("/x/runs/demo/report.html");
        let link = |target: &str| relative(page, Path::new(target));
        assert_eq!(link("/x/data/a b/part.parquet"), "../../data/a%20b/part.parquet");
        assert_eq!(link("/x/runs/demo/scores/s.parquet"), "scores/s.parquet");
        assert_eq!(link("/x/runs/demo"), ".");
    }
}
