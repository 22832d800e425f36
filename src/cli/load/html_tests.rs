//! Tests of the HTML report: it stands by itself, shows what was counted, and names can't break it.

use super::super::report::tests::{report, tally};
use super::*;

#[test]
fn it_stands_by_itself() {
    let page = page(&report(&["a", "b"]), &tally(), &[tally(), tally()]);
    for foreign in ["http", "src=", "href", "url(", "<script", "@import"] {
        assert!(!page.contains(foreign), "{foreign} in the page");
    }
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("</svg>").count(), 4);
}

#[test]
fn it_shows_what_was_counted() {
    let page = page(&report(&["a"]), &tally(), &[tally()]);
    for words in [
        "1 answers were wrong",
        "RESOURCE_EXHAUSTED",
        "found",
        "missed",
        ">p99</text>",
    ] {
        assert!(page.contains(words), "{words} is missing");
    }
    assert!(!page.contains(">ambiguous</text>"), "nothing was ambiguous");
}

#[test]
fn tenants_are_told_apart_where_there_are_several() {
    let both = page(&report(&["a", "b"]), &tally(), &[tally(), tally()]);
    assert!(both.contains("answered to a") && both.contains("answered to b"));
    let one = page(&report(&["a"]), &tally(), &[tally()]);
    assert!(!one.contains("answered to"));
}

#[test]
fn markup_in_what_a_server_says_stays_text() {
    let mut report = report(&["a"]);
    report.refusal = Some("INTERNAL: <script>alert(\"x\")</script> & more".to_owned());
    let page = page(&report, &tally(), &[tally()]);
    assert!(page.contains("&lt;script&gt;alert(&quot;x&quot;)"));
    assert!(!page.contains("<script"));
}
