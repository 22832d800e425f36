//! Answers of the server as text for people and as JSON. Names enums as the API does, without their prefix.

use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::client::api;
use crate::client::api::certificate::Proof;
use crate::client::api::policy::ThresholdRule;

use super::output::table;

/// A decision's name.
pub fn decision(decision: api::Decision) -> &'static str {
    short(decision.as_str_name(), "DECISION_")
}

/// A match level's name; `None` without a match.
pub fn level(level: api::MatchLevel) -> Option<&'static str> {
    set(short(level.as_str_name(), "MATCH_LEVEL_"))
}

/// A retake reason's name; `None` where nothing has to be captured again.
pub fn retake(reason: api::RetakeReason) -> Option<&'static str> {
    set(short(reason.as_str_name(), "RETAKE_REASON_"))
}

/// An erasure state's name.
pub fn erasure_state(state: api::ErasureState) -> &'static str {
    short(state.as_str_name(), "ERASURE_STATE_")
}

/// An erasure with its signed receipt as JSON, as `thenar receipt verify` reads it.
pub fn erasure(answer: &api::EraseResponse) -> Value {
    json!({
        "erasure": answer.erasure,
        "state": erasure_state(answer.state()),
        "receipt_json": answer.receipt_json,
        "signature": hex(&answer.signature),
        "public_key": hex(&answer.public_key),
    })
}

fn short(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn set(name: &'static str) -> Option<&'static str> {
    (name != "UNSPECIFIED").then_some(name)
}

/// A decision in one line.
pub fn decision_text(
    found: api::Decision,
    subject_id: &str,
    found_level: api::MatchLevel,
    reason: api::RetakeReason,
) -> String {
    match found {
        api::Decision::Match => {
            format!(
                "MATCH {subject_id} ({})",
                level(found_level).unwrap_or("UNSPECIFIED")
            )
        }
        api::Decision::Retake => format!("RETAKE ({})", retake(reason).unwrap_or("UNSPECIFIED")),
        other => decision(other).to_owned(),
    }
}

/// What an answer proves, in words.
pub fn certificate_text(certificate: Option<&api::Certificate>) -> String {
    match certificate.and_then(|c| c.proof) {
        Some(Proof::Deterministic(true)) => "deterministic".to_owned(),
        Some(Proof::MissProbability(p)) => format!("probabilistic {p:e}"),
        Some(Proof::FalseMatchProbability(p)) => format!("recent match {p:.1e}"),
        _ => "none".to_owned(),
    }
}

/// A text that somebody else chose, without what a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// An identification for people.
pub fn identified_text(answer: &api::IdentifyResponse) -> String {
    let mut lines = vec![decision_text(
        answer.decision(),
        &answer.subject_id,
        answer.match_level(),
        answer.retake_reason(),
    )];
    let known = answer.links.iter();
    lines.extend(known.map(|link| format!("{} {}", link_kind(link), printable(&link.value))));
    if answer.certificate.is_some() {
        lines.push(format!(
            "certificate {}",
            certificate_text(answer.certificate.as_ref())
        ));
    }
    if !answer.backend.is_empty() {
        lines.push(format!("backend {}", answer.backend));
    }
    let rows = candidate_rows(&answer.candidates);
    if !rows.is_empty() {
        lines.push(table(&rows));
    }
    lines.join("\n")
}

/// An identification as JSON.
pub fn identified(answer: &api::IdentifyResponse) -> Value {
    json!({
        "request_id": answer.request_id,
        "decision": decision(answer.decision()),
        "subject_id": answer.subject_id,
        "match_level": level(answer.match_level()),
        "retake_reason": retake(answer.retake_reason()),
        "links": links(&answer.links),
        "certificate": certificate_text(answer.certificate.as_ref()),
        "candidates": candidates(&answer.candidates),
        "backend": answer.backend,
    })
}

fn candidate_rows(candidates: &[api::ScoredCandidate]) -> Vec<Vec<String>> {
    let cells = |c: &api::ScoredCandidate| {
        vec![
            format!("{:.4}", c.score),
            c.subject_id.clone(),
            hand(c.hand()).to_owned(),
        ]
    };
    candidates.iter().map(cells).collect()
}

fn candidates(candidates: &[api::ScoredCandidate]) -> Vec<Value> {
    let value = |c: &api::ScoredCandidate| json!({"subject_id": c.subject_id, "hand": hand(c.hand()), "score": c.score});
    candidates.iter().map(value).collect()
}

/// The nearest subjects for people.
pub fn investigated_text(answer: &api::InvestigateResponse) -> String {
    if let Some(reason) = retake(answer.retake_reason()) {
        return format!("RETAKE ({reason})");
    }
    let proof = certificate_text(answer.certificate.as_ref());
    let mut lines = vec![
        format!("searched {}", answer.searched),
        format!("certificate {proof}"),
        format!("backend {}", answer.backend),
    ];
    let rows = candidate_rows(&answer.candidates);
    if !rows.is_empty() {
        lines.push(table(&rows));
    }
    lines.join("\n")
}

/// The nearest subjects as JSON.
pub fn investigated(answer: &api::InvestigateResponse) -> Value {
    json!({
        "request_id": answer.request_id,
        "candidates": candidates(&answer.candidates),
        "retake_reason": retake(answer.retake_reason()),
        "certificate": certificate_text(answer.certificate.as_ref()),
        "searched": answer.searched,
        "backend": answer.backend,
    })
}

fn hand(hand: api::Hand) -> &'static str {
    short(hand.as_str_name(), "HAND_")
}

fn link_kind(link: &api::Link) -> &'static str {
    short(link.kind().as_str_name(), "LINK_KIND_")
}

fn links(links: &[api::Link]) -> Vec<Value> {
    links
        .iter()
        .map(|link| json!({"kind": link_kind(link), "value": link.value}))
        .collect()
}

/// A time as RFC 3339; empty where none is set.
pub fn time(at: Option<&Timestamp>) -> String {
    at.map(|at| {
        let micros = at
            .seconds
            .saturating_mul(1_000_000)
            .saturating_add(i64::from(at.nanos) / 1_000);
        crate::model::timestamp::Timestamp(micros).to_string()
    })
    .unwrap_or_default()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn tenant_state(tenant: &api::Tenant) -> &'static str {
    short(tenant.state().as_str_name(), "TENANT_STATE_")
}

fn encoder(encoder: Option<&api::Encoder>) -> String {
    encoder
        .map(|e| format!("{}/{}", e.name, e.version))
        .unwrap_or_default()
}

/// A tenant as cells of a list.
pub fn tenant_row(tenant: &api::Tenant) -> Vec<String> {
    vec![
        tenant.tenant.clone(),
        tenant_state(tenant).to_owned(),
        format!("{} dimensions", tenant.dimension),
        encoder(tenant.encoder.as_ref()),
        format!("threshold {:.4}", tenant.threshold),
        tenant.reason.clone(),
    ]
}

/// A tenant for people.
pub fn tenant_text(tenant: &api::Tenant) -> String {
    let policy = tenant.policy.clone().unwrap_or_default();
    let rule = match policy.threshold_rule {
        Some(ThresholdRule::TargetFpir(target)) => {
            format!("for FPIR {} with {} references", target.fpir, target.gallery_size)
        }
        _ => "set directly".to_owned(),
    };
    let mut rows = vec![
        pair("tenant", &tenant.tenant),
        pair("state", tenant_state(tenant)),
        pair("dimension", &tenant.dimension.to_string()),
        pair("encoder", &encoder(tenant.encoder.as_ref())),
        pair("threshold", &format!("{:.4} ({rule})", tenant.threshold)),
        pair("margin", &policy.margin.to_string()),
        pair("minimum quality", &policy.quality_min.to_string()),
        pair(
            "PAD",
            if policy.pad_required {
                "required"
            } else {
                "not required"
            },
        ),
        pair(
            "proof",
            if policy.deterministic {
                "deterministic"
            } else {
                "deterministic or probabilistic"
            },
        ),
        pair(
            "probes",
            if policy.sealed_probes {
                "sealed alone"
            } else {
                "sealed or plain"
            },
        ),
        pair("retention", &retention_text(policy.retention)),
        pair("created", &time(tenant.create_time.as_ref())),
        pair("rotation", &format!("version {}", tenant.transform_version)),
    ];
    if !tenant.reason.is_empty() {
        rows.insert(2, pair("reason", &tenant.reason));
    }
    table(&rows)
}

fn retention_text(retention: Option<api::Retention>) -> String {
    let retention = retention.unwrap_or_default();
    let idle =
        (retention.idle_days_max > 0).then(|| format!("{} days without a use", retention.idle_days_max));
    let ended = retention.consent_end.then(|| "the end of the consent".to_owned());
    match (idle, ended) {
        (None, None) => "until erased".to_owned(),
        (Some(one), None) | (None, Some(one)) => format!("until {one}"),
        (Some(idle), Some(ended)) => format!("until {idle}, or {ended}"),
    }
}

/// A tenant as JSON.
pub fn tenant(tenant: &api::Tenant) -> Value {
    let policy = tenant.policy.clone().unwrap_or_default();
    let target = match policy.threshold_rule {
        Some(ThresholdRule::TargetFpir(target)) => {
            json!({"fpir": target.fpir, "gallery_size": target.gallery_size})
        }
        _ => Value::Null,
    };
    json!({
        "tenant": tenant.tenant,
        "state": tenant_state(tenant),
        "reason": tenant.reason,
        "dimension": tenant.dimension,
        "encoder": encoder(tenant.encoder.as_ref()),
        "threshold": tenant.threshold,
        "target_fpir": target,
        "margin": policy.margin,
        "quality_min": policy.quality_min,
        "pad_required": policy.pad_required,
        "deterministic": policy.deterministic,
        "retention": policy.retention.map(|retention| json!({
            "idle_days_max": retention.idle_days_max,
            "consent_end": retention.consent_end,
        })),
        "sealed_probes": policy.sealed_probes,
        "create_time": time(tenant.create_time.as_ref()),
        "transform_version": tenant.transform_version,
        "rotating": tenant.rotating,
    })
}

fn pair(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

/// Figures for people.
pub fn stats_text(stats: &api::Stats) -> String {
    let uptime = stats.uptime.as_ref().map_or(0, |d| d.seconds);
    table(&[
        pair("tenant", &stats.tenant),
        pair("subjects", &stats.subjects.to_string()),
        pair("references", &stats.references.to_string()),
        pair("pending", &stats.pending.to_string()),
        pair("segments", &stats.segments.to_string()),
        pair("on disk", &format!("{} bytes", stats.segment_bytes)),
        pair("resident", &format!("{} bytes", stats.resident_bytes)),
        pair("last change", &stats.sequence.to_string()),
        pair("backend", &stats.backend),
        pair("up", &format!("{uptime} s")),
    ])
}

/// Figures as JSON.
pub fn stats(stats: &api::Stats) -> Value {
    json!({
        "tenant": stats.tenant,
        "subjects": stats.subjects,
        "references": stats.references,
        "pending": stats.pending,
        "segments": stats.segments,
        "segment_bytes": stats.segment_bytes,
        "resident_bytes": stats.resident_bytes,
        "sequence": stats.sequence,
        "backend": stats.backend,
        "uptime_s": stats.uptime.as_ref().map_or(0, |d| d.seconds),
    })
}

/// What is held on a subject, for people.
pub fn subject_text(subject: &api::Subject) -> String {
    let consent = subject.consent.clone().unwrap_or_default();
    let mut rows = vec![
        pair("subject", &subject.subject_id),
        pair("since", &time(subject.create_time.as_ref())),
        pair(
            "consent",
            &format!(
                "{}, {}, until {}",
                consent.policy_version,
                consent.purpose,
                time(consent.expire_time.as_ref())
            ),
        ),
    ];
    for reference in &subject.references {
        let text = format!(
            "{} hand, quality {}, captured {}",
            hand(reference.hand()),
            reference.quality,
            time(reference.capture_time.as_ref())
        );
        rows.push(pair(&format!("signature {}", reference.reference), &text));
    }
    for link in &subject.links {
        rows.push(pair(link_kind(link), &link.value));
    }
    format!("{}\n", table(&rows))
}

/// What is held on a subject, as JSON.
pub fn subject(subject: &api::Subject) -> Value {
    let consent = subject.consent.clone().unwrap_or_default();
    json!({
        "subject_id": subject.subject_id,
        "create_time": time(subject.create_time.as_ref()),
        "consent": {
            "policy_version": consent.policy_version,
            "purpose": consent.purpose,
            "give_time": time(consent.give_time.as_ref()),
            "expire_time": time(consent.expire_time.as_ref()),
            "method": short(consent.method().as_str_name(), "CONSENT_METHOD_"),
        },
        "references": subject.references.iter().map(|r| json!({
            "reference": r.reference,
            "hand": hand(r.hand()),
            "quality": r.quality,
            "capture_time": time(r.capture_time.as_ref()),
            "enroll_time": time(r.enroll_time.as_ref()),
        })).collect::<Vec<Value>>(),
        "links": links(&subject.links),
    })
}

fn outcome(event: &api::UsageEvent) -> String {
    let outcome = short(event.outcome().as_str_name(), "USAGE_OUTCOME_");
    match retake(event.retake_reason()) {
        Some(reason) => format!("{outcome} ({reason})"),
        None => outcome.to_owned(),
    }
}

fn usage_kind(event: &api::UsageEvent) -> &'static str {
    short(event.kind().as_str_name(), "USAGE_KIND_")
}

/// An event as cells of a list.
pub fn event_row(event: &api::UsageEvent) -> Vec<String> {
    vec![
        time(event.time.as_ref()),
        usage_kind(event).to_owned(),
        outcome(event),
        event.subject_id.clone(),
        event.site.clone(),
        event.principal.clone(),
    ]
}

/// An event as JSON.
pub fn event(event: &api::UsageEvent) -> Value {
    json!({
        "time": time(event.time.as_ref()),
        "kind": usage_kind(event),
        "outcome": short(event.outcome().as_str_name(), "USAGE_OUTCOME_"),
        "retake_reason": retake(event.retake_reason()),
        "subject_id": event.subject_id,
        "site": event.site,
        "principal": event.principal,
        "request_id": event.request_id,
    })
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
