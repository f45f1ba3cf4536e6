//! What one source file names and defines, as far as the test of circles needs it.

use std::collections::{BTreeMap, BTreeSet};

/// A module's path from the crate's root.
pub(crate) type Module = Vec<String>;

/// What one file says, without its tests.
pub(crate) struct File {
    /// The path below `src`.
    pub(crate) name: String,
    /// Paths that it names, each from the crate's root where it can be resolved.
    pub(crate) paths: Vec<Vec<String>>,
    /// The names that its `use` declarations bring in, each with where it comes from.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
    /// Modules of which all names are brought in.
    pub(crate) globs: Vec<Vec<String>>,
    /// The items that it defines.
    pub(crate) items: BTreeSet<String>,
}

/// Splits source text into words and signs. Comments, texts and characters are left out.
pub(crate) fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (chars[i], at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A character, or the name of a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else if at(i + 2) == '\'' {
                i += 3;
            } else {
                i += 1;
            }
        } else if c.is_alphanumeric() || c == '_' {
            let start = i;
            while i < chars.len() && (chars[i].is_alphanumeric() || chars[i] == '_') {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
            if ["r", "br", "cr"].contains(&&*word) && at(i + hashes) == '"' {
                let end: Vec<char> =
                    std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                i += hashes + 1;
                while i < chars.len() && !chars[i..].starts_with(&end) {
                    i += 1;
                }
                i += end.len();
            } else if word == "r" && hashes == 1 {
                i += 1;
            } else {
                out.push(word);
            }
        } else if c == ':' && at(i + 1) == ':' {
            out.push("::".into());
            i += 2;
        } else {
            if !c.is_whitespace() {
                out.push(c.into());
            }
            i += 1;
        }
    }
    out
}

/// Returns the position after the bracket that closes the one at `open`.
fn close(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match &**token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Leaves out what only tests compile, attributes, and the reach of `pub(…)`. Also returns the modules of tests
/// that lie in other files.
pub(crate) fn without_tests(tokens: &[String]) -> (Vec<String>, BTreeSet<String>) {
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|t| t == text);
    let (mut out, mut modules) = (Vec::new(), BTreeSet::new());
    let mut i = 0;
    while i < tokens.len() {
        if is(i, "#") && (is(i + 1, "[") || is(i + 1, "!") && is(i + 2, "[")) {
            let open = if is(i + 1, "[") { i + 1 } else { i + 2 };
            let end = close(tokens, open);
            i = end;
            // `[cfg(all(test,unix))]` too.
            let words: BTreeSet<&str> = tokens[open..end].iter().map(String::as_str).collect();
            let of_tests = words.contains("test") && !words.contains("not");
            if !of_tests {
                continue;
            }
            // The item: to its semicolon, or over its braces. More attributes may come first.
            while is(i, "#") {
                i = close(tokens, i + 1);
            }
            if let Some(m) = (i..tokens.len()).take(6).find(|&j| is(j, "mod") && is(j + 2, ";")) {
                modules.insert(tokens[m + 1].clone());
            }
            while i < tokens.len() && !is(i, ";") && !is(i, "{") {
                i = if is(i, "(") || is(i, "[") { close(tokens, i) } else { i + 1 };
            }
            // A `use` may hold braces before its semicolon.
            i = if is(i, "{") { close(tokens, i) } else { i + 1 };
            if is(i, ";") {
                i += 1;
            }
        } else if is(i, "pub")
            && is(i + 1, "(")
            && ["crate", "super", "in", "self"].iter().any(|t| is(i + 2, t))
        {
            i = close(tokens, i + 1);
        } else {
            out.push(tokens[i].clone());
            i += 1;
        }
    }
    (out, modules)
}

/// One name that a `use` brings in: its path, and the name it gets here; `*` brings in all names.
type Import = (Vec<String>, String);

/// Expands the tree of a `use` declaration that begins at `i`; returns the position after it.
fn tree(tokens: &[String], mut i: usize, prefix: &[String], out: &mut Vec<Import>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(i).map(|t| &**t) {
            Some("{") => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t != "}") {
                    i = tree(tokens, i, &path, out);
                    if tokens.get(i).is_some_and(|t| t == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            Some("::") => i += 1,
            Some("*") => {
                out.push((path, "*".into()));
                return i + 1;
            }
            Some("as") => {
                out.push((path, tokens.get(i + 1).cloned().unwrap_or_default()));
                return i + 2;
            }
            Some("," | "}" | ";") | None => {
                if path.last().is_some_and(|p| p == "self") {
                    path.pop();
                }
                let name = path.last().cloned().unwrap_or_default();
                out.push((path, name));
                return i;
            }
            Some(word) => {
                path.push(word.to_owned());
                i += 1;
            }
        }
    }
}

/// Makes a path that a module names start at the crate's root; `None` of one that leads out of the crate.
fn from_root(
    path: &[String],
    module: &[String],
    modules: &BTreeSet<Module>,
) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match path.first().map(|p| &**p) {
        Some("crate") => {
            base.clear();
            rest = &path[1..];
        }
        Some("self" | "super") => {
            while let Some(first) = rest.first() {
                match &**first {
                    "self" => {}
                    "super" => drop(base.pop()),
                    _ => break,
                }
                rest = &rest[1..];
            }
        }
        Some(first) => {
            let child = [&base[..], &[first.to_owned()]].concat();
            if !modules.contains(&child) {
                return None;
            }
        }
        None => return None,
    }
    base.extend_from_slice(rest);
    Some(base)
}

const DEFINES: [&str; 9] =
    ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules"];

pub(crate) fn parse(
    name: String,
    tokens: &[String],
    module: &[String],
    modules: &BTreeSet<Module>,
) -> File {
    let mut file = File {
        name,
        paths: Vec::new(),
        imports: BTreeMap::new(),
        globs: Vec::new(),
        items: BTreeSet::new(),
    };
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i] == "use" {
            let mut found = Vec::new();
            i = tree(tokens, i + 1, &[], &mut found);
            for (path, name) in found {
                let Some(path) = from_root(&path, module, modules) else { continue };
                if name == "*" {
                    file.globs.push(path.clone());
                } else if name != "_" {
                    file.imports.insert(name, path.clone());
                }
                file.paths.push(path);
            }
            continue;
        }
        if DEFINES.contains(&&*tokens[i]) {
            let after = i + 1 + tokens[i + 1..].iter().take_while(|t| *t == "!").count();
            file.items.extend(tokens.get(after).cloned());
        }
        let follows = |i: usize| tokens.get(i).is_some_and(|t| t == "::");
        if follows(i + 1) && tokens[i].starts_with(|c: char| c.is_alphabetic() || c == '_') {
            let mut path = vec![tokens[i].clone()];
            let inside = i > 0 && tokens[i - 1] == "::";
            i += 1;
            while follows(i)
                && tokens
                    .get(i + 1)
                    .is_some_and(|t| t.starts_with(|c: char| c.is_alphabetic() || c == '_'))
            {
                path.push(tokens[i + 1].clone());
                i += 2;
            }
            if !inside {
                file.paths.extend(from_root(&path, module, modules));
            }
            continue;
        }
        i += 1;
    }
    file
}
