//! What a pickle holds: values in one arena, by their index.

use std::ops::Range;

/// Index of a node in its [`Pickle`].
pub type Id = usize;

/// One Python value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that does not, as little-endian two's complement.
    Long(Range<usize>),
    /// A float.
    Float(f64),
    /// A `str`.
    Str(String),
    /// `bytes`: a range of the input.
    Bytes(Range<usize>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list, a set or a frozen set.
    List(Vec<Id>),
    /// A dict in insertion order; a repeated key is repeated here.
    Dict(Vec<(Id, Id)>),
    /// A class or function, by name only.
    Global {
        /// Its module.
        module: String,
        /// Its qualified name.
        name: String,
    },
    /// What a call or an instantiation would have made.
    Object {
        /// What would be called.
        callable: Id,
        /// With which arguments (a tuple).
        args: Id,
        /// The state that `BUILD` sets.
        state: Option<Id>,
        /// Items set on it, as in an `OrderedDict`.
        items: Vec<(Id, Id)>,
    },
    /// A persistent identifier: torch's reference to a storage.
    Persistent(Id),
    /// Bytes that a [`Hook`](super::Hook) read from between the opcodes, for the object it stands for.
    Inline {
        /// The object whose data these are.
        object: Id,
        /// Where they lie in the input.
        data: Range<usize>,
    },
}

/// A pickle read into an arena.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
    pub(super) end: usize,
}

impl Pickle {
    /// The value that was pickled.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Position behind the last opcode.
    pub fn end(&self) -> usize {
        self.end
    }

    /// All nodes, in the order in which they were made.
    pub fn ids(&self) -> Range<Id> {
        0..self.nodes.len()
    }

    /// A node.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// The `str`, if it is one.
    pub fn str(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.node(id) {
            Node::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub fn elements(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(v) | Node::List(v) => Some(v),
            _ => None,
        }
    }

    /// The items of a dict, or those set on an object.
    pub fn items(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.node(id) {
            Node::Dict(v) | Node::Object { items: v, .. } => Some(v),
            _ => None,
        }
    }

    /// The last value stored under a `str` key of a dict or an object's items.
    pub fn get(&self, id: Id, key: &str) -> Option<Id> {
        self.items(id)?.iter().rev().find(|(k, _)| self.str(*k) == Some(key)).map(|(_, v)| *v)
    }

    /// Module and name of a global.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    pub(super) fn push(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}
