//! How the commands were started: from a clone, or as an installed program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How the commands were started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// `cargo xtask` in a clone: the worker is built for this machine where it is needed.
    Workspace(PathBuf),
    /// The program `slam`, which is its own worker.
    Program(PathBuf),
}

static DOOR: OnceLock<Door> = OnceLock::new();

impl Door {
    /// Notes how this process was started. Only the first call counts.
    pub(crate) fn enter(self) {
        let _ = DOOR.set(self);
    }

    /// How this process was started.
    pub(crate) fn current() -> &'static Self {
        // Unit tests enter by no door; they run in the workspace.
        DOOR.get_or_init(|| Self::Workspace(crate::build::workspace()))
    }

    /// What a command begins with, for messages.
    pub(crate) fn program(&self) -> &'static str {
        match self {
            Self::Workspace(_) => "cargo xtask",
            Self::Program(_) => "slam",
        }
    }

    /// The clone, where there is one.
    pub(crate) fn workspace(&self) -> Option<&Path> {
        match self {
            Self::Workspace(folder) => Some(folder),
            Self::Program(_) => None,
        }
    }
}

/// A command of this program, for messages: `hint("shards list")` is `cargo xtask shards list` or `slam shards list`.
pub(crate) fn hint(command: &str) -> String {
    format!("{} {command}", Door::current().program())
}
