//! No circles of files inside a crate: a file may use what lies below it, and what lies below must not use it.
//! Files that use each other can only be read, tested and moved together.
//!
//! An edge goes from the file that names an item to the file that defines it. Names are followed through
//! re-exports, so a module that only declares and re-exports its children is on no circle.
#![allow(clippy::unwrap_used, missing_docs)]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::{File, Module, parse, tokens, without_tests};

/// Returns the file that defines what a path names.
fn defining<'a>(
    files: &'a BTreeMap<Module, File>,
    path: &[String],
    depth: usize,
) -> Option<&'a Module> {
    let known = (0..=path.len()).rev().find(|&n| files.contains_key(&path[..n]))?;
    let (module, file) = files.get_key_value(&path[..known])?;
    let Some(name) = path.get(known) else { return Some(module) };
    if depth > 8 || file.items.contains(name) {
        return Some(module);
    }
    if let Some(from) = file.imports.get(name) {
        let from = [from, &path[known + 1..]].concat();
        return defining(files, &from, depth + 1);
    }
    let through = |glob: &Vec<String>| {
        let from = [&glob[..], &path[known..]].concat();
        let found = defining(files, &from, depth + 1)?;
        files[found].items.contains(name).then_some(found)
    };
    file.globs.iter().find_map(through)
}

/// Lists the Rust files below a folder.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Returns a file's module: `a/b.rs` and `a/b/mod.rs` are `a::b`, `lib.rs` and `main.rs` the root.
fn module_of(name: &str) -> Module {
    let mut parts: Module = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let last = parts.last().map(String::as_str);
    if last == Some("mod") || parts.len() == 1 && matches!(last, Some("lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Returns which files of a crate name which, by the files' names.
fn edges(files: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let read = |(name, text): &(String, String)| {
        let (tokens, tests) = without_tests(&tokens(text));
        (module_of(name), (name.clone(), tokens, tests))
    };
    let mut parsed: BTreeMap<Module, _> = files.iter().map(read).collect();
    let tests: BTreeSet<Module> = parsed
        .iter()
        .flat_map(|(m, (_, _, tests))| {
            tests.iter().map(|t| [&m[..], std::slice::from_ref(t)].concat())
        })
        .collect();
    parsed.retain(|m, _| !(0..=m.len()).any(|n| tests.contains(&m[..n])));
    let modules: BTreeSet<Module> = parsed.keys().cloned().collect();
    let files: BTreeMap<Module, File> = parsed
        .into_iter()
        .map(|(m, (name, tokens, _))| (m.clone(), parse(name, &tokens, &m, &modules)))
        .collect();
    files
        .iter()
        .map(|(module, file)| {
            let targets = file.paths.iter().filter_map(|p| defining(&files, p, 0));
            let targets = targets.filter(|t| *t != module).map(|t| files[t].name.clone());
            (file.name.clone(), targets.collect())
        })
        .collect()
}

/// Returns everything that can be reached from a file.
fn reach(edges: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.to_owned()];
    while let Some(name) = next.pop() {
        for target in edges.get(&name).into_iter().flatten() {
            if seen.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    seen
}

/// Returns the circles: the largest sets of files that all reach each other.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<&String, _> = edges.keys().map(|f| (f, reach(edges, f))).collect();
    edges
        .keys()
        .filter(|f| reached[f].contains(*f))
        .map(|f| reached[f].iter().filter(|t| reached[t].contains(f)).cloned().collect())
        .collect()
}

/// Returns every crate's files: their names below `src`, and their text.
fn crates() -> BTreeMap<String, Vec<(String, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = fs::read_dir(root.join("crates")).unwrap().map(|e| e.unwrap().path());
    folders
        .chain([root.join("xtask")])
        .map(|folder| {
            (folder.file_name().unwrap().to_str().unwrap().to_owned(), folder.join("src"))
        })
        .filter(|(_, src)| src.is_dir())
        .map(|(name, src)| {
            let mut paths = Vec::new();
            sources(&src, &mut paths);
            let read = |p: &PathBuf| {
                let name = p.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                (name, fs::read_to_string(p).unwrap())
            };
            (name, paths.iter().map(read).collect())
        })
        .collect()
}

#[test]
fn files_of_a_crate_do_not_use_each_other_in_circles() {
    let mut found = Vec::new();
    for (name, files) in crates() {
        let edges = edges(&files);
        for circle in circles(&edges) {
            let inner = |f: &String| {
                let to: Vec<_> = edges[f].intersection(&circle).map(String::as_str).collect();
                format!("\n    {f} -> {}", to.join(", "))
            };
            found.push(format!("\n{name}: {}", circle.iter().map(inner).collect::<String>()));
        }
    }
    assert!(
        found.is_empty(),
        "files use each other; move what they share into a file below both:{}",
        found.concat()
    );
}

/// The circles of a small crate.
fn check(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let files: Vec<_> = files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    circles(&edges(&files)).into_iter().map(|c| c.into_iter().collect()).collect()
}

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let a = ("a.rs", "use crate::b::{self, B as Other}; pub struct A;");
    for b in ["use super::a::A; pub struct B;", "pub fn b(_: crate::a::A) {}"] {
        assert_eq!(
            check(&[("lib.rs", "mod a; mod b;"), a, ("b.rs", b)]),
            [["a.rs", "b.rs"]],
            "{b}"
        );
    }
}

#[test]
fn a_parent_and_its_child_are_a_circle_if_both_define() {
    let parent = ("a/mod.rs", "mod b; pub use b::B; pub struct A(B);");
    assert_eq!(
        check(&[("lib.rs", "pub mod a;"), parent, ("a/b.rs", "use super::A; pub struct B;")]),
        [["a/b.rs", "a/mod.rs"]]
    );
}

#[test]
fn a_parent_that_re_exports_is_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
        ("a.rs", "pub struct A; pub(in crate::b) struct Hidden;"),
        ("b.rs", "use crate::A; pub struct B;"),
        ("c.rs", "use crate::B;"),
    ];
    assert!(check(&files).is_empty());
}

#[test]
fn tests_comments_and_texts_make_no_circle() {
    let b = "// use crate::a::A;\nconst T: &str = \"crate::a::A\"; #[cfg(test)] mod tests { use crate::a::A; }\n\
             #[cfg(test)] mod more; fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }";
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::T; pub struct A;"),
        ("b.rs", b),
        ("b/more.rs", "use crate::a::A; use super::T;"),
    ];
    assert!(check(&files).is_empty());
}
