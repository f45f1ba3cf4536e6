//! Splits English text into words. The result equals that of NLTK's `NLTKWordTokenizer`, token for token
//! (Bird, Klein and Loper 2009; the Penn Treebank's rules with Unicode quotes).
//!
//! NLTK's `word_tokenize` splits sentences first. The filter of the recipe's reference does not: it passes
//! the whole text to the word tokeniser. So only the last full stop of a text is a separate word
//! (`"I ran. I fell."` gives `ran.` but `fell` and `.`). This module does the same.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// A rule: the pattern to replace, and the replacement.
type Rule = (Regex, &'static str);

fn rules(patterns: &[(&str, &'static str)]) -> Vec<Rule> {
    let compile = |p: &str| Regex::new(p).expect("a constant pattern");
    patterns.iter().map(|&(pattern, with)| (compile(pattern), with)).collect()
}

static OPENING_QUOTES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[
        ("([«“‘„]|`+)", " $1 "),
        (r#"\A""#, "``"),
        ("(``)", " $1 "),
        (r#"([ (\[{<])("|'{2})"#, "$1 `` "),
    ])
});

static PUNCTUATION: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[
        (r#"([^.])(\.)([\])}>"'»”’ ]*)\s*\z"#, "$1 $2 $3 "),
        (r"([:,])([^\d])", " $1 $2"),
        (r"([:,])\z", " $1 "),
        (r"\.{2,}", " $0 "),
        (r"[;@#$%&]", " $0 "),
        (r"[\u{2012}-\u{2015}]", " $0 "),
        (r#"([^.])(\.)([\])}>"']*)\s*\z"#, "$1 $2$3 "),
        (r"[?!]", " $0 "),
        ("([^'])' ", "$1 ' "),
        (r"\*", " $0 "),
        (r"[\]\[(){}<>]", " $0 "),
        ("--", " -- "),
    ])
});

static CLOSING_QUOTES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    rules(&[
        ("([»”’])", " $1 "),
        ("''", " '' "),
        ("\"", " '' "),
        (r"\s+", " "),
        ("([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "),
        ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    ])
});

/// Words that are split into two, given as their halves. They match whole words in any case.
const CONTRACTIONS: [(&str, &str); 8] = [
    ("can", "not"),
    ("d", "'ye"),
    ("gim", "me"),
    ("gon", "na"),
    ("got", "ta"),
    ("lem", "me"),
    ("more", "'n"),
    ("wan", "na"),
];

/// The words and punctuation marks of a text.
pub fn words(text: &str) -> Vec<String> {
    let mut text = apply(&OPENING_QUOTES, text.to_owned());
    text = part_leading_apostrophes(&text);
    text = apply(&PUNCTUATION, text);
    text = apply(&CLOSING_QUOTES, format!(" {text} "));
    for (first, second) in CONTRACTIONS {
        // The text ends with a space here. "wanna" requires white space after it, beyond the word boundary.
        text = part(&text, "", first, second, second == "na" && first == "wan");
    }
    for second in ["is", "was"] {
        text = part(&text, " ", "'t", second, false);
    }
    text.split(is_space).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn apply(rules: &[Rule], mut text: String) -> String {
    for (pattern, with) in rules {
        if let Cow::Owned(new) = pattern.replace_all(&text, *with) {
            text = new;
        }
    }
    text
}

/// Returns whether a character is white space in the sense of Python's `str.isspace`.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Returns whether a character is a word character for the contractions. NLTK compiles them with Python's
/// `re`: this is its `\w`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns whether a character is a word character for the other rules. NLTK compiles them with the package
/// `regex`: this is Unicode's `\w`.
fn is_unicode_word(c: char) -> bool {
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\A\w\z").expect("a constant pattern"));
    if c.is_ascii() {
        return is_word(c);
    }
    WORD.is_match(c.encode_utf8(&mut [0; 4]))
}

/// Separates an apostrophe from the word that follows it, unless it belongs to a clitic (`'re`, `'s`, …).
fn part_leading_apostrophes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for (i, c) in text.char_indices() {
        out.push(c);
        let following = &text[i + c.len_utf8()..];
        if c == '\''
            && !before.is_some_and(is_unicode_word)
            && following.chars().next().is_some_and(is_unicode_word)
            && !is_clitic(following)
        {
            out.push(' ');
        }
        before = Some(c);
    }
    out
}

fn is_clitic(text: &str) -> bool {
    ["re", "ve", "ll", "m", "t", "s", "d", "n"].iter().any(|clitic| {
        strip_prefix_of_any_case(text, clitic)
            .is_some_and(|rest| !rest.chars().next().is_some_and(is_unicode_word))
    })
}

/// Returns the text after a lower-case ASCII prefix. `ſ` matches `s` in a pattern that ignores case.
fn strip_prefix_of_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut chars = text.chars();
    for expected in prefix.chars() {
        let c = chars.next()?;
        if c.to_ascii_lowercase() != expected && !(c == 'ſ' && expected == 's') {
            return None;
        }
    }
    Some(chars.as_str())
}

/// Separates `first` and `second` wherever they form a whole word. `lead` must come before them and is
/// replaced; if it is empty, a word boundary must come before them. `spaced` requires white space after
/// them.
fn part(text: &str, lead: &str, first: &str, second: &str, spaced: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        let halves = rest.strip_prefix(lead).and_then(|start| {
            let middle = strip_prefix_of_any_case(start, first)?;
            Some((start, middle, strip_prefix_of_any_case(middle, second)?))
        });
        let opens = !lead.is_empty() || !before.is_some_and(is_word);
        if let Some((start, middle, end)) = halves
            && opens
            && !end.chars().next().is_some_and(is_word)
            && (!spaced || end.chars().next().is_some_and(is_space))
        {
            out.push(' ');
            out.push_str(&start[..start.len() - middle.len()]);
            out.push(' ');
            out.push_str(&middle[..middle.len() - end.len()]);
            out.push(' ');
            before = middle[..middle.len() - end.len()].chars().next_back();
            rest = end;
            continue;
        }
        out.push(c);
        before = Some(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}
