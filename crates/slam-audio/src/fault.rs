//! What a demultiplexer or a decoder says of a file.

use std::io;

/// What a demultiplexer or a decoder says of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that the format does not allow.
    #[error("malformed stream: {0}")]
    Malformed(&'static str),
    /// A part of the format that is not decoded here.
    #[error("unsupported feature: {0}")]
    Unsupported(&'static str),
    /// More of something than any recording has.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// The file ends, or its reading fails.
    #[error("{0}")]
    Read(io::ErrorKind),
    /// Something else that a library asks for or says.
    #[error("the decoder asks for something that is not done here")]
    Other,
}

impl From<symphonia::core::errors::Error> for Fault {
    fn from(error: symphonia::core::errors::Error) -> Self {
        use symphonia::core::errors::Error;
        match error {
            Error::DecodeError(what) => Self::Malformed(what),
            Error::Unsupported(what) => Self::Unsupported(what),
            Error::LimitError(what) => Self::Limit(what),
            Error::IoError(e) => Self::Read(e.kind()),
            _ => Self::Other,
        }
    }
}

/// Code that was not written here and panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What takes a file apart into packets.
    Demultiplexer,
    /// What turns packets into samples.
    Decoder,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Demultiplexer => "the demultiplexer",
            Self::Decoder => "the decoder",
        })
    }
}
