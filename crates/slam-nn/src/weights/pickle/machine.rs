//! The machine that a pickle is a program for, without what would need Python.

use super::{Hook, Id, Node, Pickle};
use std::collections::BTreeMap;
use std::ops::Range;

/// Values of a pickle at most; the index of a checkpoint of a thousand tensors has some 30,000.
const LIMIT: usize = 1 << 20;

/// Runs the program at the start of `input`.
pub(super) fn run(input: &[u8], hook: &mut dyn Hook) -> Result<Pickle, String> {
    let mut machine = Machine {
        input,
        at: 0,
        out: Pickle::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
    };
    while !machine.step(hook)? {
        // An opcode of one byte makes a node of many: what memory a file takes must not be its choice.
        if machine.out.nodes.len().max(machine.stack.len()).max(machine.marks.len()) > LIMIT {
            return Err(format!("the pickle has more than {LIMIT} values"));
        }
    }
    machine.out.root = machine.pop()?;
    machine.out.end = machine.at;
    Ok(machine.out)
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
    fn take(&mut self, n: usize) -> Result<Range<usize>, String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.input.len());
        let end = end.ok_or_else(|| format!("the pickle is cut off at byte {}", self.at))?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    /// A little-endian unsigned number of `n` bytes, at most 8.
    fn number(&mut self, n: usize) -> Result<u64, String> {
        let range = self.take(n)?;
        Ok(self.input[range].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    fn length(&mut self, n: usize) -> Result<usize, String> {
        usize::try_from(self.number(n)?).map_err(|_| "a length does not fit".to_owned())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.input[self.at..];
        let n = rest.iter().position(|b| *b == b'\n').ok_or("a line of the pickle has no end")?;
        let text = String::from_utf8_lossy(&rest[..n]).into_owned();
        self.at += n + 1;
        Ok(text)
    }

    fn text(&mut self, n: usize) -> Result<(), String> {
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
    fn pop(&mut self) -> Result<Id, String> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(format!("the pickle's stack is empty at byte {}", self.at));
        }
        self.stack.pop().ok_or_else(|| "the pickle's stack is empty".to_owned())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or_else(|| "the pickle's stack is empty".to_owned())
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("the pickle lacks a mark")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn pairs(ids: &[Id]) -> Result<Vec<(Id, Id)>, String> {
        let (pairs, rest) = ids.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a dict of the pickle has a key without a value".to_owned());
        }
        Ok(pairs.iter().map(|[k, v]| (*k, *v)).collect())
    }

    fn extend_list(&mut self, ids: Vec<Id>) -> Result<(), String> {
        let list = self.top()?;
        match &mut self.out.nodes[list] {
            Node::List(v) => v.extend(ids),
            // Lists of classes that derive from list: their elements are not needed.
            Node::Object { .. } => {}
            other => return Err(format!("the pickle appends to {other:?}")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), String> {
        let dict = self.top()?;
        match &mut self.out.nodes[dict] {
            Node::Dict(v) | Node::Object { items: v, .. } => v.extend(pairs),
            other => return Err(format!("the pickle sets items of {other:?}")),
        }
        Ok(())
    }

    fn object(&mut self, callable: Id, args: Id) {
        self.push(Node::Object { callable, args, state: None, items: Vec::new() });
    }

    fn memoise(&mut self, at: usize) -> Result<(), String> {
        self.memo.insert(at, self.top()?);
        Ok(())
    }

    fn recall(&mut self, at: usize) -> Result<(), String> {
        let id = *self.memo.get(&at).ok_or_else(|| format!("the pickle's memo has no {at}"))?;
        self.stack.push(id);
        Ok(())
    }

    fn long(&mut self, n: usize) -> Result<(), String> {
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

    /// Executes one opcode; true at the end.
    fn step(&mut self, hook: &mut dyn Hook) -> Result<bool, String> {
        let start = self.at;
        let op = self.number(1)? as u8;
        match op {
            b'.' => return Ok(true),
            0x80 => {
                let protocol = self.number(1)?;
                if protocol > 5 {
                    return Err(format!("pickle protocol {protocol} is not known"));
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
                self.push(match line.trim_end_matches('L') {
                    "00" => Node::Bool(false),
                    "01" => Node::Bool(true),
                    text => Node::Int(text.parse().map_err(|_| format!("`{text}` is no integer"))?),
                });
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
                self.push(Node::Float(line.parse().map_err(|_| format!("`{line}` is no float"))?));
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
                    (0x85..=op).map(|_| self.pop()).collect::<Result<Vec<Id>, String>>()?;
                ids.reverse();
                self.push(Node::Tuple(ids));
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let pairs = Self::pairs(&self.pop_mark()?)?;
                self.push(Node::Dict(pairs));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = Self::pairs(&self.pop_mark()?)?;
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
                    _ => return Err("a global's name is no string".to_owned()),
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
                if let Some(data) = hook.after_build(&self.out, object, self.at)? {
                    if data.start < self.at || data.end < data.start || data.end > self.input.len()
                    {
                        return Err("data between opcodes is cut off".to_owned());
                    }
                    self.at = data.end;
                    self.pop()?;
                    self.push(Node::Inline { object, data });
                }
            }
            b'h' => {
                let at = self.length(1)?;
                self.recall(at)?;
            }
            b'j' => {
                let at = self.length(4)?;
                self.recall(at)?;
            }
            b'q' => {
                let at = self.length(1)?;
                self.memoise(at)?;
            }
            b'r' => {
                let at = self.length(4)?;
                self.memoise(at)?;
            }
            b'g' | b'p' => {
                let line = self.line()?;
                let at = line.parse().map_err(|_| format!("`{line}` is no memo index"))?;
                if op == b'g' { self.recall(at)? } else { self.memoise(at)? }
            }
            0x94 => self.memoise(self.memo.len())?,
            other => return Err(format!("opcode {other:#04x} at byte {start} is not supported")),
        }
        Ok(false)
    }
}
