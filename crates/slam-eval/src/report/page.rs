//! The templates of the pages, and the pages on disk.

use std::path::Path;

use minijinja::Environment;
use slam_recipe::publish::{self, PublishError};

use super::{chart, table};

/// Loads the templates.
pub(super) fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_filter("group", table::group);
    environment.add_filter("figure", chart::number);
    environment.add_template("style.css", include_str!("style.css"))?;
    environment.add_template("report.html", include_str!("template.html"))?;
    environment.add_template("compare.html", include_str!("compare.html"))?;
    Ok(environment)
}

/// Writes a page, unless the same page already exists.
pub(super) fn write(path: &Path, html: &str) -> Result<(), PublishError> {
    if std::fs::read(path).is_ok_and(|old| old == html.as_bytes()) {
        return Ok(());
    }
    publish::write(path, html.as_bytes())
}
