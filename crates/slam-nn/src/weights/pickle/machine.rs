//! The machine that a pickle is a program for, without what would need Python.

use super::error::PickleError;
use super::value::{Id, Node, Pickle};
use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

/// Values of a pickle at most; the index of a checkpoint of a thousand tensors has some 30,000.
const LIMIT: usize = 1 << 20;

/// Lets a format put raw data between opcodes, as joblib puts arrays behind their wrapper's `BUILD`.
pub trait Hook {
    /// What reading fails with.
    type Error: From<PickleError>;

    /// Called after each `BUILD` with the object and the input's next position: the data's range, if
    /// data follows here. Reading goes on at its end.
    ///
    /// # Errors
    /// When the data that must follow is not there.
    fn after_build(
        &mut self,
        pickle: &Pickle,
        object: Id,
        position: usize,
    ) -> Result<Option<Range<usize>>, Self::Error>;
}

/// No data between opcodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Hook for Plain {
    type Error = PickleError;

    fn after_build(
        &mut self,
        _: &Pickle,
        _: Id,
        _: usize,
    ) -> Result<Option<Range<usize>>, PickleError> {
        Ok(None)
    }
}

impl Pickle {
    /// Reads the pickle at the start of `input`.
    ///
    /// # Errors
    /// When it is cut off, malformed, or uses an opcode that would need Python.
    pub fn read<H: Hook>(input: &[u8], hook: &mut H) -> Result<Self, H::Error> {
        let mut machine = Machine {
            input,
            at: 0,
            out: Self::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: BTreeMap::new(),
        };
        loop {
            match machine.step()? {
                Step::Done => {}
                Step::Built(object) => {
                    if let Some(data) = hook.after_build(&machine.out, object, machine.at)? {
                        machine.inline(object, data)?;
                    }
                }
                Step::End => break,
            }
            // An opcode of one byte makes a node of many: what memory a file takes must not be its choice.
            if machine.out.nodes.len().max(machine.stack.len()).max(machine.marks.len()) > LIMIT {
                return Err(PickleError::TooMany { most: LIMIT }.into());
            }
        }
        machine.out.root = machine.pop()?;
        machine.out.end = machine.at;
        Ok(machine.out)
    }
}

/// What an opcode did.
enum Step {
    /// What concerns the machine alone.
    Done,
    /// It set the state of this object.
    Built(Id),
    /// It was the last one.
    End,
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    out: Pickle,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<usize, Id>,
}

impl Machine<'_> {
    fn take(&mut self, n: usize) -> Result<Range<usize>, PickleError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.input.len());
        let end = end.ok_or(PickleError::CutOff { at: self.at })?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A little-endian unsigned number of `n` bytes, at most 8.
    fn number(&mut self, n: usize) -> Result<u64, PickleError> {
        let range = self.take(n)?;
        Ok(self.input[range].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    fn length(&mut self, n: usize) -> Result<usize, PickleError> {
        let length = self.number(n)?;
        usize::try_from(length).map_err(|_| PickleError::CutOff { at: self.at })
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.input[self.at..];
        let n = rest.iter().position(|b| *b == b'\n');
        let n = n.ok_or(PickleError::CutOff { at: self.at })?;
        let text = String::from_utf8_lossy(&rest[..n]).into_owned();
        self.at += n + 1;
        Ok(text)
    }

    /// A number that is written out, as the line just taken has it.
    fn parsed<T: FromStr>(&self, line: &str) -> Result<T, PickleError> {
        line.parse().map_err(|_| PickleError::Number { at: self.at })
    }

    fn text(&mut self, n: usize) -> Result<(), PickleError> {
        let range = self.take(n)?;
        let text = String::from_utf8_lossy(&self.input[range]).into_owned();
        self.push(Node::Str(text));
        Ok(())
    }

    fn push(&mut self, node: Node) {
        let id = self.out.push(node);
        self.stack.push(id);
    }

    /// The innermost mark guards what lies below it.
    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(PickleError::Stack { at: self.at });
        }
        self.stack.pop().ok_or(PickleError::Stack { at: self.at })
    }

    fn top(&self) -> Result<Id, PickleError> {
        self.stack.last().copied().ok_or(PickleError::Stack { at: self.at })
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Mark { at: self.at })?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn pairs(&self, ids: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
        let (pairs, rest) = ids.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(PickleError::Key { at: self.at });
        }
        Ok(pairs.iter().map(|[k, v]| (*k, *v)).collect())
    }

    fn extend_list(&mut self, ids: Vec<Id>) -> Result<(), PickleError> {
        let list = self.top()?;
        match &mut self.out.nodes[list] {
            Node::List(v) => v.extend(ids),
            // Lists of classes that derive from list: their elements are not needed.
            Node::Object { .. } => {}
            _ => return Err(PickleError::List { at: self.at }),
        }
        Ok(())
    }

    fn extend_dict(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), PickleError> {
        let dict = self.top()?;
        match &mut self.out.nodes[dict] {
            Node::Dict(v) | Node::Object { items: v, .. } => v.extend(pairs),
            _ => return Err(PickleError::Dict { at: self.at }),
        }
        Ok(())
    }

    fn object(&mut self, callable: Id, args: Id) {
        self.push(Node::Object { callable, args, state: None, items: Vec::new() });
    }

    fn memoise(&mut self, index: usize) -> Result<(), PickleError> {
        self.memo.insert(index, self.top()?);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), PickleError> {
        let id = self.memo.get(&index).copied();
        let id = id.ok_or(PickleError::Memo { index, at: self.at })?;
        self.stack.push(id);
        Ok(())
    }

    fn long(&mut self, n: usize) -> Result<(), PickleError> {
        let range = self.take(n)?;
        let bytes = &self.input[range.clone()];
        if n > 8 {
            self.push(Node::Long(range));
        } else {
            let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut word = [fill; 8];
            word[..n].copy_from_slice(bytes);
            self.push(Node::Int(i64::from_le_bytes(word)));
        }
        Ok(())
    }

    /// Puts data from between the opcodes in the place of the object that stands for it.
    fn inline(&mut self, object: Id, data: Range<usize>) -> Result<(), PickleError> {
        if data.start < self.at || data.end < data.start || data.end > self.input.len() {
            return Err(PickleError::CutOff { at: self.at });
        }
        self.at = data.end;
        self.pop()?;
        self.push(Node::Inline { object, data });
        Ok(())
    }

    /// Executes one opcode.
    fn step(&mut self) -> Result<Step, PickleError> {
        let start = self.at;
        let op = self.number(1)? as u8;
        match op {
            b'.' => return Ok(Step::End),
            0x80 => {
                let protocol = self.number(1)?;
                if protocol > 5 {
                    return Err(PickleError::Protocol(protocol));
                }
            }
            0x95 => {
                self.number(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'J' => {
                let v = self.number(4)? as u32 as i32;
                self.push(Node::Int(v.into()));
            }
            b'K' => {
                let v = self.number(1)?;
                self.push(Node::Int(v as i64));
            }
            b'M' => {
                let v = self.number(2)?;
                self.push(Node::Int(v as i64));
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let node = match line.trim_end_matches('L') {
                    "00" => Node::Bool(false),
                    "01" => Node::Bool(true),
                    text => Node::Int(self.parsed(text)?),
                };
                self.push(node);
            }
            0x8a => {
                let n = self.length(1)?;
                self.long(n)?;
            }
            0x8b => {
                let n = self.length(4)?;
                self.long(n)?;
            }
            b'F' => {
                let line = self.line()?;
                let value = self.parsed(&line)?;
                self.push(Node::Float(value));
            }
            b'G' => {
                let bits = self.number(8)?.swap_bytes();
                self.push(Node::Float(f64::from_bits(bits)));
            }
            b'S' | b'V' => {
                let line = self.line()?;
                self.push(Node::Str(line.trim_matches(['\'', '"']).to_owned()));
            }
            b'U' | 0x8c => {
                let n = self.length(1)?;
                self.text(n)?;
            }
            b'T' | b'X' => {
                let n = self.length(4)?;
                self.text(n)?;
            }
            0x8d => {
                let n = self.length(8)?;
                self.text(n)?;
            }
            b'B' | b'C' | 0x8e | 0x96 => {
                let n = self.length(match op {
                    b'B' => 4,
                    b'C' => 1,
                    _ => 8,
                })?;
                let range = self.take(n)?;
                self.push(Node::Bytes(range));
            }
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'l' | 0x91 => {
                let ids = self.pop_mark()?;
                self.push(Node::List(ids));
            }
            b'a' => {
                let id = self.pop()?;
                self.extend_list(vec![id])?;
            }
            b'e' | 0x90 => {
                let ids = self.pop_mark()?;
                self.extend_list(ids)?;
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' => {
                let ids = self.pop_mark()?;
                self.push(Node::Tuple(ids));
            }
            0x85..=0x87 => {
                let mut ids =
                    (0x85..=op).map(|_| self.pop()).collect::<Result<Vec<Id>, PickleError>>()?;
                ids.reverse();
                self.push(Node::Tuple(ids));
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let ids = self.pop_mark()?;
                let pairs = self.pairs(&ids)?;
                self.push(Node::Dict(pairs));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![(key, value)])?;
            }
            b'u' => {
                let ids = self.pop_mark()?;
                let pairs = self.pairs(&ids)?;
                self.extend_dict(pairs)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global { module, name });
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.out.str(module), self.out.str(name)) {
                    (Some(module), Some(name)) => {
                        let node = Node::Global { module: module.into(), name: name.into() };
                        self.push(node);
                    }
                    _ => return Err(PickleError::Global { at: self.at }),
                }
            }
            b'R' | 0x81 => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.object(callable, args);
            }
            0x92 => {
                let (_keywords, args, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(callable, args);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                if let Node::Object { state: slot, .. } = &mut self.out.nodes[object] {
                    *slot = Some(state);
                }
                return Ok(Step::Built(object));
            }
            b'h' => {
                let index = self.length(1)?;
                self.recall(index)?;
            }
            b'j' => {
                let index = self.length(4)?;
                self.recall(index)?;
            }
            b'q' => {
                let index = self.length(1)?;
                self.memoise(index)?;
            }
            b'r' => {
                let index = self.length(4)?;
                self.memoise(index)?;
            }
            b'g' | b'p' => {
                let line = self.line()?;
                let index = self.parsed(&line)?;
                if op == b'g' { self.recall(index)? } else { self.memoise(index)? }
            }
            0x94 => self.memoise(self.memo.len())?,
            opcode => return Err(PickleError::Opcode { opcode, at: start }),
        }
        Ok(Step::Done)
    }
}
