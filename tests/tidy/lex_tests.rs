//! Shows that code, comments and text are told apart. Tests `lex` alone.

use super::*;

/// What is left of `text` when white space is taken away.
fn left(text: &str) -> String {
    code_only(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn comments_are_blanked() {
    assert_eq!(left("a // b\nc"), "a c");
    assert_eq!(left("a /* b /* c */ d */ e"), "a e");
    assert_eq!(left("//! head\nx"), "x");
}

#[test]
fn strings_are_blanked() {
    assert_eq!(left(r#"f("a \" b", c)"#), "f( , c)");
    assert_eq!(left("f(r#\"a \" b\"#, br\"c\", d)"), "f( , b , d)");
    assert_eq!(left("f(\"// not a comment\") + g"), "f( ) + g");
}

#[test]
fn characters_are_not_lifetimes() {
    assert_eq!(left("f('a', '\\'', '\\u{1F}', '\"') g"), "f( , , , ) g");
    assert_eq!(left("fn f<'a>(x: &'a str)"), "fn f<'a>(x: &'a str)");
}

#[test]
fn raw_names_are_code() {
    assert_eq!(left("r#match::x"), "r#match::x");
    assert_eq!(left("for\"x\""), "for");
}

#[test]
fn an_open_string_ends_with_the_file() {
    assert_eq!(left("a \"b"), "a");
    assert_eq!(left("a r#\"b\""), "a");
    assert_eq!(left("a /* b"), "a");
}

#[test]
fn lines_stay_where_they_are() {
    let code = code_only("a\n/* b\n c */\n\"d\ne\"\nword");
    let at = find_word(&code, "word");
    assert_eq!(at.len(), 1);
    assert_eq!(line_of(&code, at.first().copied().unwrap_or_default()), 6);
}

#[test]
fn words_have_edges() {
    assert_eq!(
        find_word("unsafe_code unsafe not_unsafe unsafe{", "unsafe").len(),
        2
    );
}

#[test]
fn attributes_nest() {
    let found = attributes("#![a(b[1])]\nx[0] #[c] fn d() {}");
    let bodies: Vec<&str> = found.into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["c", "a(b[1])"]);
}
