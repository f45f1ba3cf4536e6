//! What a speech engine may get wrong, and the most that it may answer.

use std::io;

/// The environment variable that names the program `slam-speak`.
pub const TTS_COMMAND: &str = "SLAM_SPEAK";

/// The longest WAV file of an utterance, in bytes (about 25 minutes).
pub(super) const MAX_WAV_BYTES: u32 = 64 << 20;

/// A speech program or server that does not speak.
#[derive(Debug, thiserror::Error)]
pub enum SpeechError {
    /// The program cannot be started.
    #[error(
        "failed to start the speech program '{program}': {source}; set {TTS_COMMAND} to the program slam-speak, \
         or name another with --tts-command"
    )]
    Start {
        /// The program.
        program: String,
        /// Why it cannot be started.
        source: io::Error,
    },
    /// The program ended, or takes and gives no more.
    #[error("the speech program '{program}' failed: it broke off ({source})")]
    BrokeOff {
        /// The program.
        program: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The program announces more bytes than an utterance may have.
    #[error("the speech program '{program}' failed: it announces {bytes} bytes for one utterance")]
    TooLong {
        /// The program.
        program: String,
        /// The bytes that it announces.
        bytes: u32,
    },
    /// The server does not answer, or refuses all requests.
    #[error("the speech server {url}: {message}")]
    Server {
        /// The address that was asked.
        url: String,
        /// What happened, and what to do.
        message: String,
    },
    /// The engine cannot speak this text.
    #[error("the text cannot be spoken: {0}")]
    Text(String),
}

impl SpeechError {
    /// Returns whether every other text would fail too.
    pub fn concerns_all(&self) -> bool {
        !matches!(self, Self::Text(_))
    }
}
