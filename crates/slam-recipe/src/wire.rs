//! The wire format between commands and worker: JSON with a version.
//!
//! Commands and worker may be two programs, built at different times on different machines. Each file that one
//! hands to the other, and the first line that a worker prints, names the version; a program refuses another one
//! before it reads the rest.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the wire format. Raise it with every change of a request, a work list or an event.
pub const VERSION: u32 = 2;

/// A value beside the version of the format that it is written in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sealed<T> {
    wire: u32,
    #[serde(flatten)]
    value: T,
}

impl<T> Sealed<T> {
    /// A value of this version.
    pub fn new(value: T) -> Self {
        Self { wire: VERSION, value }
    }
}

/// A message that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It is not JSON, or not a message of this kind.
    #[error("not a message that this program writes: {0}")]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error(
        "it has version {found} of the wire format, this program has version {VERSION}: commands and worker are of \
         different builds; build both from one source, or unset SLAM_WORKER"
    )]
    Version {
        /// Its version; 0 where it names none.
        found: u32,
    },
}

/// Reads a message, its version first.
///
/// # Errors
/// If it is of another version, or no message of this kind.
pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    #[derive(Deserialize)]
    struct Version {
        #[serde(default)]
        wire: u32,
    }
    #[derive(Deserialize)]
    struct Opened<T> {
        // Named here so that the value does not see it as an unknown field.
        #[serde(rename = "wire")]
        _wire: u32,
        #[serde(flatten)]
        value: T,
    }
    let Version { wire } = serde_json::from_slice(bytes)?;
    if wire != VERSION {
        return Err(WireError::Version { found: wire });
    }
    Ok(serde_json::from_slice::<Opened<T>>(bytes)?.value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Message {
        text: String,
    }

    #[test]
    fn a_message_comes_back_and_one_of_another_version_is_refused_before_it_is_read() {
        let message = Message { text: "x".into() };
        let bytes = serde_json::to_vec(&Sealed::new(&message)).unwrap();
        assert_eq!(open::<Message>(&bytes).unwrap(), message);
        let newer = format!("{{\"wire\":{},\"txet\":1}}", VERSION + 1);
        let error = open::<Message>(newer.as_bytes()).unwrap_err();
        assert!(matches!(error, WireError::Version { found } if found == VERSION + 1), "{error}");
        let old = open::<Message>(b"{\"text\":\"x\"}").unwrap_err().to_string();
        assert!(old.contains("version 0") && old.contains("SLAM_WORKER"), "{old}");
        assert!(matches!(open::<Message>(b"[").unwrap_err(), WireError::Form(_)));
    }
}
