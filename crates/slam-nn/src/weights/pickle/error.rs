//! Why a pickle could not be read.

/// Why a pickle could not be read. Positions are bytes from the start of what was given to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// It ends within an opcode, a line, or the data between opcodes.
    #[error("the pickle is cut off at byte {at}")]
    CutOff {
        /// Where.
        at: usize,
    },
    /// A protocol that is newer than this reader.
    #[error("pickle protocol {0} is not known; protocols 0 to 5 are")]
    Protocol(u64),
    /// An opcode that is not known, or that would need Python.
    #[error("opcode {opcode:#04x} at byte {at} of the pickle is not supported")]
    Opcode {
        /// The opcode.
        opcode: u8,
        /// Where.
        at: usize,
    },
    /// More values than any checkpoint needs.
    #[error("the pickle has more than {most} values")]
    TooMany {
        /// As many are read.
        most: usize,
    },
    /// An opcode takes a value off the empty stack.
    #[error("the pickle's stack is empty at byte {at}")]
    Stack {
        /// Where.
        at: usize,
    },
    /// An opcode takes values back to a mark that nothing set.
    #[error("the pickle lacks a mark at byte {at}")]
    Mark {
        /// Where.
        at: usize,
    },
    /// A key of a dict has no value.
    #[error("a dict of the pickle has a key without a value at byte {at}")]
    Key {
        /// Where.
        at: usize,
    },
    /// Elements are added to what is neither a list nor an object.
    #[error("the pickle appends to what is no list at byte {at}")]
    List {
        /// Where.
        at: usize,
    },
    /// Items are set on what is neither a dict nor an object.
    #[error("the pickle sets items of what is no dict at byte {at}")]
    Dict {
        /// Where.
        at: usize,
    },
    /// A value is recalled that was never memoised.
    #[error("the pickle's memo has no {index} at byte {at}")]
    Memo {
        /// What is recalled.
        index: usize,
        /// Where.
        at: usize,
    },
    /// A line that should be a number is none.
    #[error("the line before byte {at} of the pickle is no number")]
    Number {
        /// Where the line ends.
        at: usize,
    },
    /// A class or function whose name is not a string.
    #[error("a global's name is no string at byte {at} of the pickle")]
    Global {
        /// Where.
        at: usize,
    },
}
