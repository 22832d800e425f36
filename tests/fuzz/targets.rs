//! What is fuzzed: one function a reader, from bytes to whatever it says of them. Shared by the bounded run (`tests/fuzz/main.rs`) and the
//! targets of cargo-fuzz (`fuzz/fuzz_targets`). Judges nothing: a panic, a hang or too much memory is for those who call.

use std::path::Path;
use std::sync::LazyLock;

use prost::Message;
use prost::bytes::Bytes;
use tempfile::TempDir;
use thenar::cli::npy::Matrix;
use thenar::encode::{PalmEncoder, Picture};
use thenar::front::command::Probe;
use thenar::keys::keyring::Keyring;
use thenar::keys::receipt;
use thenar::keys::secret::SecretKey;
use thenar::matcher::remote::{from_proto as internal, vocabulary};
use thenar::model::erasure::SignedReceipt;
use thenar::model::id::{RequestId, SubjectId, TenantId};
use thenar::model::reject::Rejected;
use thenar::model::signature::Dimension;
use thenar::proto::matching::v1 as matching;
use thenar::proto::v1 as public;
use thenar::service::{from_proto, page};
use thenar::storage::fuzzing;

/// A reader under test.
pub struct Target {
    /// Its name, and that of its folder in `tests/corpus`.
    pub name: &'static str,
    /// Gives it these bytes; whether it took them.
    pub run: fn(&[u8]) -> bool,
}

/// All of them.
pub static TARGETS: [Target; 9] = [
    Target {
        name: "segment",
        run: segment,
    },
    Target {
        name: "mark",
        run: mark,
    },
    Target {
        name: "keyring",
        run: keyring,
    },
    Target {
        name: "npy",
        run: npy,
    },
    Target {
        name: "image",
        run: image,
    },
    Target {
        name: "config",
        run: config,
    },
    Target {
        name: "receipt",
        run: signed_receipt,
    },
    Target {
        name: "public_request",
        run: public_request,
    },
    Target {
        name: "match_request",
        run: match_request,
    },
];

/// The target with this name.
pub fn target(name: &str) -> &'static Target {
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target's name")
}

/// Gives `read` a directory with one file of these bytes.
fn in_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIR: TempDir = tempfile::tempdir().expect("a directory");
    }
    DIR.with(|dir| {
        std::fs::write(dir.path().join(name), bytes).expect("written");
        read(dir.path())
    })
}

fn segment(bytes: &[u8]) -> bool {
    in_file(&fuzzing::segment_file(), bytes, |dir| {
        fuzzing::read_segment(dir).is_ok()
    })
}

fn mark(bytes: &[u8]) -> bool {
    in_file(fuzzing::MARK_FILE, bytes, |dir| fuzzing::read_mark(dir).is_ok())
}

/// The key that opens the keyrings of the corpus.
pub fn kek() -> SecretKey {
    SecretKey::from_bytes([7; 32])
}

fn keyring(bytes: &[u8]) -> bool {
    in_file("keyring", bytes, |dir| {
        Keyring::read(&dir.join("keyring"), &kek()).is_ok()
    })
}

fn npy(bytes: &[u8]) -> bool {
    in_file("rows.npy", bytes, |dir| {
        let path = dir.join("rows.npy");
        let rows = Matrix::open(&path)
            .and_then(|matrix| matrix.check_rows(|_| {}))
            .is_ok();
        Matrix::open_signature(&path).is_ok() | rows
    })
}

/// The first byte says whether it is a region or a whole hand. A PNG's checksums are made right, so that a change of a chunk comes as far as its decoder.
fn image(bytes: &[u8]) -> bool {
    static ENCODER: LazyLock<PalmEncoder> = LazyLock::new(|| {
        let dim = Dimension::new(256).expect("valid");
        PalmEncoder::new(dim).expect("built in")
    });
    let Some((picture, file)) = bytes.split_first() else {
        return false;
    };
    let picture = if picture.is_multiple_of(2) {
        Picture::Region
    } else {
        Picture::Hand
    };
    let file = checksummed(file);
    let Ok(encoded) = ENCODER.encode(&file, picture) else {
        return false;
    };
    let squared: f32 = encoded.signature.iter().map(|v| v * v).sum();
    assert!((squared - 1.0).abs() < 1e-3, "{squared}");
    true
}

/// The same file with the checksum of each chunk as it should be, if it is a PNG.
fn checksummed(file: &[u8]) -> Vec<u8> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut made = file.to_vec();
    let mut at = SIGNATURE.len();
    while file.starts_with(SIGNATURE)
        && let Some(head) = file.get(at..at + 8)
        && let Some(len) = u32::from_be_bytes([head[0], head[1], head[2], head[3]]).checked_add(4)
        && let Some(chunk) = file.get(at + 4..(at + 4).saturating_add(len as usize))
        && let Some(sum) = made.get_mut(at + 4 + chunk.len()..at + 8 + chunk.len())
    {
        sum.copy_from_slice(&crc32fast::hash(chunk).to_be_bytes());
        at += 8 + chunk.len();
    }
    made
}

fn config(bytes: &[u8]) -> bool {
    in_file("thenar.toml", bytes, |dir| {
        thenar::config::load(Some(&dir.join("thenar.toml"))).is_ok()
    })
}

fn signed_receipt(bytes: &[u8]) -> bool {
    serde_json::from_slice::<SignedReceipt>(bytes).is_ok_and(|signed| receipt::verify(&signed).is_ok())
}

fn decoded<M: Message + Default>(bytes: Bytes) -> Result<M, Rejected> {
    M::decode(bytes).map_err(|error| Rejected::new("message", error.to_string()))
}

/// A request of the public API. The first byte chooses which.
fn public_request(bytes: &[u8]) -> bool {
    let Some((method, message)) = bytes.split_first() else {
        return false;
    };
    public_message(*method, Bytes::copy_from_slice(message)).is_ok()
}

fn public_message(method: u8, bytes: Bytes) -> Result<(), Rejected> {
    let id = || "request".parse::<RequestId>().expect("a valid id");
    match method {
        0 => from_proto::identify(decoded(bytes)?, id(), None).map(drop),
        // What a seal holds is read as if it were not sealed.
        1 => match from_proto::verify(decoded(bytes)?, id(), None)?.probe {
            Probe::Plain(_) => Ok(()),
            Probe::Sealed { probe, read } => {
                let plain = Bytes::copy_from_slice(probe.ciphertext());
                read(plain, probe.captured_at()).map(drop)
            }
        },
        2 => from_proto::investigate(decoded(bytes)?, id(), None).map(drop),
        3 => from_proto::enroll(decoded(bytes)?).map(drop),
        4 => {
            let message: public::EraseRequest = decoded(bytes)?;
            vocabulary::optional_id::<TenantId>(&message.tenant)?;
            message.request_id.parse::<RequestId>()?;
            from_proto::erase_subject(message.subject).map(drop)
        }
        5 => {
            let message: public::GetSubjectRequest = decoded(bytes)?;
            from_proto::get_subject(message.subject).map(drop)
        }
        6 => {
            let message: public::ListUsageRequest = decoded(bytes)?;
            vocabulary::optional_id::<SubjectId>(&message.subject_id)?;
            page::size(message.page_size)?;
            page::number("usage//", &message.page_token).map(drop)
        }
        7 => vocabulary::optional_id::<TenantId>(&decoded::<public::GetErasureRequest>(bytes)?.tenant)
            .map(drop),
        8 => match decoded::<public::ImportRequest>(bytes)?.part {
            Some(public::import_request::Part::Header(header)) => from_proto::import(header).map(drop),
            Some(public::import_request::Part::Rows(rows)) => from_proto::import_rows(rows, 0).map(drop),
            None => Err(Rejected::new("part", "is missing")),
        },
        9 => from_proto::create_tenant(decoded(bytes)?).map(drop),
        10 => decoded::<public::GetTenantRequest>(bytes)?
            .tenant
            .parse::<TenantId>()
            .map(drop),
        11 => {
            let message: public::ListTenantsRequest = decoded(bytes)?;
            page::size(message.page_size)?;
            page::position("tenants", &message.page_token).map(drop)
        }
        12 => decoded::<public::DropTenantRequest>(bytes)?
            .tenant
            .parse::<TenantId>()
            .map(drop),
        13 => decoded::<public::GetStatsRequest>(bytes)?
            .tenant
            .parse::<TenantId>()
            .map(drop),
        14 => {
            let message: public::ExportSubjectRequest = decoded(bytes)?;
            from_proto::export_subject(message.subject).map(drop)
        }
        15 => {
            let message: public::GetImportRequest = decoded(bytes)?;
            vocabulary::optional_id::<TenantId>(&message.tenant)?;
            message.request_id.parse::<RequestId>().map(drop)
        }
        _ => Err(Rejected::new("method", "is unknown")),
    }
}

/// A request of the internal API. The first byte chooses which.
fn match_request(bytes: &[u8]) -> bool {
    let Some((method, message)) = bytes.split_first() else {
        return false;
    };
    match_message(*method, Bytes::copy_from_slice(message)).is_ok()
}

fn match_message(method: u8, bytes: Bytes) -> Result<(), Rejected> {
    match method {
        0 => decoded::<matching::GetTenantRequest>(bytes)?
            .tenant
            .parse::<TenantId>()
            .map(drop),
        1 => internal::spec(decoded(bytes)?).map(drop),
        2 => decoded::<matching::DropTenantRequest>(bytes)?
            .tenant
            .parse::<TenantId>()
            .map(drop),
        3 => internal::search(decoded(bytes)?, None).map(drop),
        4 => internal::rank(decoded(bytes)?, None).map(drop),
        5 => internal::compare(decoded(bytes)?, None).map(drop),
        6 => internal::enroll(decoded(bytes)?).map(drop),
        7 => match decoded::<matching::ImportRequest>(bytes)?.part {
            Some(matching::import_request::Part::Header(header)) => internal::import_header(header).map(drop),
            Some(matching::import_request::Part::Rows(rows)) => internal::import_rows(rows).map(drop),
            Some(matching::import_request::Part::Aborted(_)) => Ok(()),
            None => Err(Rejected::new("part", "is missing")),
        },
        8 => internal::erase(decoded(bytes)?).map(drop),
        9 => decoded::<matching::GetErasureRequest>(bytes)?
            .tenant
            .parse::<TenantId>()
            .map(drop),
        10 => internal::subject_ref(decoded::<matching::GetSubjectRequest>(bytes)?.subject).map(drop),
        11 => {
            let event = decoded::<matching::RecordUsageRequest>(bytes)?.event;
            vocabulary::usage_from_proto(&vocabulary::required("event", event)?).map(drop)
        }
        12 => internal::usage_query(&decoded(bytes)?).map(drop),
        13 => decoded::<matching::ListTenantsRequest>(bytes).map(drop),
        14 => {
            let due = decoded::<matching::ListDueRequest>(bytes)?.due;
            internal::due(vocabulary::required("due", due)?).map(drop)
        }
        15 => {
            let message: matching::GetImportRequest = decoded(bytes)?;
            message.tenant.parse::<TenantId>()?;
            message.request_id.parse::<RequestId>().map(drop)
        }
        _ => Err(Rejected::new("method", "is unknown")),
    }
}
