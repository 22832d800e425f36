//! What the demo ends with: a table for people and one JSON object for machines. Measures nothing.

use serde::Serialize;

use super::super::output::table;

/// A promise and whether it held.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) passed: bool,
    pub(super) detail: String,
}

/// Figures of the traffic.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) palms: u64,
    pub(super) identifications: u64,
    pub(super) rate_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) fnir: f64,
    pub(super) fpir: f64,
    pub(super) mated: u64,
    pub(super) strangers: u64,
    pub(super) threshold: f64,
    /// Names of the certificates that were given.
    pub(super) certificate: String,
    /// The same, and how many answers had each.
    pub(super) certificates: Vec<(String, u64)>,
}

/// Everything.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
    pub(super) figures: Figures,
    pub(super) cross_tenant_matches: u64,
    pub(super) found_after_enrol: bool,
    pub(super) found_after_erase: bool,
    pub(super) lost_after_restart: u64,
    pub(super) backend: String,
}

/// The JSON object. Scripts rely on these names.
#[derive(Serialize)]
struct Summary<'a> {
    palms: u64,
    identifications: u64,
    rate_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    fnir: f64,
    fpir: f64,
    cross_tenant_matches: u64,
    found_after_enrol: bool,
    found_after_erase: bool,
    lost_after_restart: u64,
    backend: &'a str,
    certificate: &'a str,
}

impl Report {
    /// Checks that did not hold.
    pub(super) fn failed(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| !check.passed);
        failed
            .map(|check| format!("{} ({})", check.name, check.detail))
            .collect()
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        let figures = &self.figures;
        let summary = Summary {
            palms: figures.palms,
            identifications: figures.identifications,
            rate_per_s: rounded(figures.rate_per_s, 1),
            p50_ms: figures.p50_ms,
            p99_ms: figures.p99_ms,
            fnir: rounded(figures.fnir, 6),
            fpir: rounded(figures.fpir, 6),
            cross_tenant_matches: self.cross_tenant_matches,
            found_after_enrol: self.found_after_enrol,
            found_after_erase: self.found_after_erase,
            lost_after_restart: self.lost_after_restart,
            backend: &self.backend,
            certificate: &figures.certificate,
        };
        serde_json::to_string(&summary).expect("numbers, truth values and text are JSON")
    }

    /// The table.
    pub(super) fn text(&self) -> String {
        let figures = &self.figures;
        let mut rows = vec![
            pair("palms", &figures.palms.to_string()),
            pair(
                "identifications",
                &format!("{}, {:.0} a second", figures.identifications, figures.rate_per_s),
            ),
            pair(
                "latency",
                &format!(
                    "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
                    figures.p50_ms, figures.p95_ms, figures.p99_ms, figures.p999_ms
                ),
            ),
            pair(
                "FNIR",
                &format!("{:.3} % of {} mated probes", 100.0 * figures.fnir, figures.mated),
            ),
            pair(
                "FPIR",
                &format!("{:.3} % of {} strangers", 100.0 * figures.fpir, figures.strangers),
            ),
            pair("threshold", &format!("{:.4}", figures.threshold)),
            pair("searched by", &self.backend),
            pair("certificates", &counted(&figures.certificates)),
        ];
        rows.push(Vec::new());
        for check in &self.checks {
            let mark = if check.passed { "pass" } else { "FAIL" };
            rows.push(vec![mark.to_owned(), check.name.clone(), check.detail.clone()]);
        }
        format!("\n{}", sections(&rows))
    }
}

/// Figures and checks have columns of their own.
fn sections(rows: &[Vec<String>]) -> String {
    rows.split(Vec::is_empty)
        .map(table)
        .collect::<Vec<String>>()
        .join("\n")
}

fn counted(certificates: &[(String, u64)]) -> String {
    let each = certificates.iter();
    let texts: Vec<String> = each
        .map(|(proof, count)| format!("{proof}: {count} answers"))
        .collect();
    texts.join(", ")
}

fn pair(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
