//! What tests need that a machine may lack: Python with its packages, a browser, a graphics driver.
//!
//! On a developer's machine such a test says that it is skipped. Where the variable `CI` is `true`, as continuous
//! integration sets it, the test fails: a check that nobody notices missing is none.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Where the tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Continuous integration, which has everything that tests need.
    Integration,
    /// A machine of a person, which may lack some of it.
    Machine,
}

impl Place {
    /// Where this process runs.
    pub fn here() -> Self {
        Self::of(env::var("CI").ok().as_deref())
    }

    /// The place that a value of the variable `CI` tells of.
    pub fn of(ci: Option<&str>) -> Self {
        if ci == Some("true") { Self::Integration } else { Self::Machine }
    }

    /// Says that a test is skipped for what is missing.
    ///
    /// # Panics
    /// In continuous integration, where nothing may be missing.
    pub fn lacks(self, what: &str) {
        match self {
            Self::Machine => eprintln!("skipped: {what}"),
            Self::Integration => {
                panic!("{what}; with CI=true a test that misses what it needs fails")
            }
        }
    }
}

/// Says that a test is skipped here for what is missing.
///
/// # Panics
/// In continuous integration, where nothing may be missing.
pub fn lacks(what: &str) {
    Place::here().lacks(what);
}

/// The Python of `SLAM_PYTHON`, with modules that a test imports; none where it is missing.
///
/// # Panics
/// In continuous integration, where nothing may be missing.
pub fn python(modules: &[&str]) -> Option<PathBuf> {
    named_python("SLAM_PYTHON", "tests/requirements.txt", modules)
}

/// The Pythons of `SLAM_PYTHON` and `SLAM_PYTHON_CURRENT`, for what must work with the versions of transformers and
/// datasets that the tests pin and with the newest. Those that are there have the modules that a test imports.
///
/// # Panics
/// In continuous integration, where nothing may be missing.
pub fn pythons(modules: &[&str]) -> Vec<PathBuf> {
    let current = || named_python("SLAM_PYTHON_CURRENT", "tests/requirements-current.txt", modules);
    python(modules).into_iter().chain(current()).collect()
}

fn named_python(variable: &str, requirements: &str, modules: &[&str]) -> Option<PathBuf> {
    let with = modules.join(", ");
    let Some(python) = env::var_os(variable).map(PathBuf::from) else {
        lacks(&format!("{variable} names no Python with {with} ({requirements})"));
        return None;
    };
    let probe = Command::new(&python).args(["-c", &format!("import {with}")]).output();
    if probe.is_ok_and(|o| o.status.success()) {
        return Some(python);
    }
    lacks(&format!("{} has not all of {with}; pip install -r {requirements}", python.display()));
    None
}

/// A browser without a window: that of `SLAM_CHROMIUM`, or one on the path; none where it is missing.
///
/// # Panics
/// In continuous integration, where nothing may be missing.
pub fn chromium() -> Option<PathBuf> {
    if let Some(path) = env::var_os("SLAM_CHROMIUM") {
        return Some(path.into());
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        env::split_paths(&paths).flat_map(|p| names.map(|n| p.join(n))).find(|p| p.is_file());
    if found.is_none() {
        lacks("there is no chromium on the path and SLAM_CHROMIUM names none");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_that_services_set_is_integration() {
        assert_eq!(Place::of(Some("true")), Place::Integration);
        for other in [None, Some(""), Some("false"), Some("1")] {
            assert_eq!(Place::of(other), Place::Machine, "{other:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said_on_a_machine() {
        Place::Machine.lacks("there is no browser");
    }

    #[test]
    #[should_panic(expected = "there is no browser; with CI=true")]
    fn what_is_missing_fails_a_test_in_integration() {
        Place::Integration.lacks("there is no browser");
    }
}
