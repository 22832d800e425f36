//! Just enough of Rust's lexical grammar to tell code from comments and text. Parses no syntax.

/// The same lines with comments, strings and characters blanked, so that what is left is code.
pub fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = blank_end(&chars, at, c);
        if end == at {
            code.push(c);
            at += 1;
            continue;
        }
        let blanked = chars.iter().take(end).skip(at);
        code.extend(blanked.map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    code
}

/// Byte offsets of `word` in `code` where it is a word of its own.
pub fn find_word(code: &str, word: &str) -> Vec<usize> {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| {
            let (before, after) = (code.get(..at), code.get(at + word.len()..));
            let before = before.and_then(|text| text.chars().next_back());
            let after = after.and_then(|text| text.chars().next());
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
        .collect()
}

/// What follows byte `at`, without leading white space.
pub fn rest(code: &str, at: usize) -> &str {
    code.get(at..).unwrap_or_default().trim_start()
}

/// The number of the line that holds byte `at`, from 1.
pub fn line_of(code: &str, at: usize) -> usize {
    code.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// Every attribute in `code` with its offset: what stands between `#[` or `#![` and the closing bracket.
pub fn attributes(code: &str) -> Vec<(usize, &str)> {
    let starts = code.match_indices("#[").chain(code.match_indices("#!["));
    starts
        .map(|(at, opening)| {
            let body = code.get(at + opening.len()..).unwrap_or_default();
            let mut depth = 1_usize;
            let end = body.find(|c| {
                depth = match c {
                    '[' => depth + 1,
                    ']' => depth - 1,
                    _ => depth,
                };
                depth == 0
            });
            (at, body.get(..end.unwrap_or(body.len())).unwrap_or_default())
        })
        .collect()
}

/// Whether `c` may stand in a word.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the comment, string or character that begins at `at` ends; `at` itself where none begins.
fn blank_end(chars: &[char], at: usize, c: char) -> usize {
    let next = chars.get(at + 1).copied();
    match (c, next) {
        ('/', Some('/')) => find(chars, at, |c| c == '\n'),
        ('/', Some('*')) => block_comment_end(chars, at),
        ('"', _) => string_end(chars, at),
        ('r', Some('#' | '"')) if begins_literal(chars, at) => raw_string_end(chars, at).unwrap_or(at),
        // An escape is two characters at least, so the closing quote is looked for behind it.
        ('\'', Some('\\')) => find(chars, at + 3, |c| c == '\'') + 1,
        ('\'', _) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    let found = chars.iter().skip(from).position(|&c| wanted(c));
    found.map_or(chars.len(), |offset| from + offset)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0_usize, at);
    loop {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) if depth == 1 => return at + 2,
            (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
            (Some(_), _) => at += 1,
            (None, _) => return at,
        }
    }
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        match chars.get(at) {
            Some('"') => return at + 1,
            Some('\\') => at += 2,
            Some(_) => at += 1,
            None => return chars.len(),
        }
    }
}

/// Whether the `r` at `at` is a prefix (`r`, `br`, `cr`) and not the end of a word.
fn begins_literal(chars: &[char], at: usize) -> bool {
    let back = |by: usize| at.checked_sub(by).and_then(|at| chars.get(at)).copied();
    match back(1) {
        Some('b' | 'c') => !back(2).is_some_and(is_word),
        before => !before.is_some_and(is_word),
    }
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars.iter().skip(at + 1).take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |&end: &usize| {
        let tail = chars.iter().skip(end).take(hashes + 1);
        tail.enumerate()
            .all(|(i, &c)| c == if i == 0 { '"' } else { '#' })
    };
    let end = (open + 1..chars.len()).find(closes);
    Some(end.map_or(chars.len(), |end| (end + 1 + hashes).min(chars.len())))
}

#[cfg(test)]
#[path = "lex_tests.rs"]
mod tests;
