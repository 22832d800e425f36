//! A report as one HTML file that needs nothing else and loads nothing from anywhere. Knows nothing of what is reported.

use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}pre{overflow-x:auto;background:#f4f4f4;padding:.8rem}\
svg{width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#444}.bad{color:#a40000;font-weight:600}";

/// A page that grows from the top down. Whatever it is given is text, but for plots.
#[derive(Debug)]
pub struct Page(String);

impl Page {
    /// A page with its title, and a heading.
    pub fn new(title: &str, heading: &str) -> Self {
        let mut page = Self("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">".to_owned());
        page.add(&format!(
            "<title>{}</title><style>{STYLE}</style></head><body><h1>{}</h1>",
            escaped(title),
            escaped(heading)
        ));
        page
    }

    /// A sentence that nobody should miss.
    pub fn warn(&mut self, text: &str) {
        self.add(&format!("<p class=\"bad\">{}</p>", escaped(text)));
    }

    /// Tables as they stand on a terminal.
    pub fn text(&mut self, text: &str) {
        self.add(&format!("<pre>{}</pre>", escaped(text.trim())));
    }

    /// A plot, as SVG, and what it shows.
    pub fn plot(&mut self, title: &str, svg: &str) {
        self.add(&format!("<h2>{}</h2>{svg}", escaped(title)));
    }

    /// The whole file.
    pub fn finish(mut self) -> String {
        self.add("</body></html>\n");
        self.0
    }

    fn add(&mut self, html: &str) {
        self.0.push_str(html);
    }
}

/// Text that can't be taken for markup.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.write_char(c).expect("a String takes any character"),
        }
    }
    safe
}
