//! Reading Rust sources as far as arrows need it: the code without comments, texts and unit tests, and the paths in it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Where it is, from the root of the workspace, with `/` between the parts.
    pub(crate) path: String,
    /// The module that it is, from the root of its crate: `["domain", "decide"]`.
    pub(crate) module: Vec<String>,
    /// How many lines it has.
    pub(crate) lines: usize,
    /// What is compiled into the crate: no comments, no texts, no unit tests.
    pub(crate) code: String,
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file under a folder of the workspace, in order; the folder must hold some.
pub(crate) fn under(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    gather(&root().join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no Rust file");
    files.iter().map(|file| read(folder, file)).collect()
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(folder: &str, file: &Path) -> Source {
    let text = fs::read_to_string(file).unwrap();
    let inside = file.strip_prefix(root().join(folder)).unwrap().with_extension("");
    let mut module: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("lib" | "main")) {
        module.pop();
    }
    let path = file.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
    Source { path, module, lines: text.lines().count(), code: without_tests(&bare(&text)) }
}

impl Source {
    /// The paths that the code names, those of its own crate from the crate's root, behind the word `crate`.
    pub(crate) fn paths(&self) -> Vec<Vec<String>> {
        paths(&self.code).into_iter().map(|path| self.spelled_out(path)).collect()
    }

    fn spelled_out(&self, path: Vec<String>) -> Vec<String> {
        let climbs = path.iter().take_while(|part| *part == "super").count();
        let own = usize::from(path.first().is_some_and(|part| part == "self"));
        if climbs + own == 0 {
            return path;
        }
        let kept = self.module.len().saturating_sub(climbs);
        let start = std::iter::once("crate".to_owned()).chain(self.module[..kept].iter().cloned());
        start.chain(path.into_iter().skip(climbs + own)).collect()
    }

    /// Every word of the code: names and keywords.
    pub(crate) fn words(&self) -> BTreeSet<String> {
        tokens(&self.code).into_iter().filter(|token| is_word(token)).collect()
    }
}

/// The code without comments and without what stands in quotes.
pub(crate) fn bare(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::new();
    let mut at = 0;
    while at < letters.len() {
        let rest = &letters[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().take_while(|letter| **letter != '\n').count(),
            ['/', '*', ..] => comment(rest),
            ['r', '"' | '#', ..]
                if !code.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') =>
            {
                raw(rest, &mut code)
            }
            ['"', ..] => quoted(rest, '"'),
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
            _ => {
                code.push(rest[0]);
                1
            }
        };
    }
    code
}

fn comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw(rest: &[char], code: &mut String) -> usize {
    let hashes = rest[1..].iter().take_while(|letter| **letter == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        // `r#type` is a name.
        code.push('r');
        return 1;
    }
    let end: String = format!("\"{}", "#".repeat(hashes));
    let body: String = rest[hashes + 2..].iter().collect();
    let length = body.find(&end).map_or(body.chars().count(), |place| body[..place].chars().count());
    (hashes + 2 + length + end.len()).min(rest.len())
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Leaves out every item that is compiled for tests alone.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let Some((before, rest)) = code.split_once(MARK) else { return code.to_owned() };
    let end = rest.find(['{', ';']).unwrap_or(rest.len());
    if rest[end..].starts_with(';') {
        return format!("{before}{}", without_tests(&rest[end..]));
    }
    let mut depth = 0_usize;
    for (place, letter) in rest.char_indices().skip_while(|(place, _)| *place < end) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return format!("{before}{}", without_tests(&rest[place + letter.len_utf8()..]));
        }
    }
    before.to_owned()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = after.trim_start();
    }
    tokens
}

/// Every path of two parts or more, with the braces of `use` spread out: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub(crate) fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens[at]) && tokens.get(at + 1).is_some_and(|next| next == "::") {
            at = path(&tokens, at, &mut Vec::new(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path that begins at a word, behind what stands before its braces; tells where it ends.
fn path(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at = group(tokens, at + 1, prefix, found);
                break;
            }
            Some("self") if depth > 0 && prefix.len() == depth => {
                found.push(prefix.clone());
                at += 1;
                break;
            }
            Some(word) if is_word(word) || word == "*" => prefix.push(word.to_owned()),
            // A turbofish: what stands in it is read as paths of its own.
            _ => {
                found.push(prefix.clone());
                break;
            }
        }
        at += 1;
        if tokens.get(at).is_none_or(|next| next != "::") {
            found.push(prefix.clone());
            break;
        }
        at += 1;
    }
    prefix.truncate(depth);
    at
}

fn group(tokens: &[String], mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "}" => return at + 1,
            "as" => at += 2,
            word if is_word(word) || word == "*" => at = path(tokens, at, prefix, found),
            _ => at += 1,
        }
    }
    at
}
