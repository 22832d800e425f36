//! Promise: who gets the files, the log or a core dump of a server gets no palm, no link and no key in plain form.
//!
//! What it looks for: stretches of 16 bytes of the signatures as they came and as they were rotated (in single and half precision), of the codes, of a
//! link and of the keys. What it does not see: another form of them, and shorter stretches.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use half::f16;
use thenar::engine::code::Codes;
use thenar::keys::encoding::{from_hex, to_hex};
use thenar::keys::keyring::{Keyring, Purpose};
use thenar::keys::provider::KekSource;
use thenar::keys::transform::Rotation;
use thenar::model::signature::{Dimension, Signature};

use crate::harness::{Child, DIM, World, palm};

/// Bytes of a stretch.
const WINDOW: usize = 16;
const BADGE: &str = "badge 7391-4410-5521-0077 of a known person";
/// Palms that are imported, enrolled and only asked for.
const PALMS: std::ops::Range<u64> = 0..160;

/// Stretches of secret bytes and what they are of.
#[derive(Default)]
struct Needles {
    windows: HashSet<[u8; WINDOW]>,
    named: Vec<(String, Vec<u8>)>,
    /// First three bytes of any window, a bit each: most places of a haystack are passed by with one look.
    begins: Vec<u64>,
}

impl Needles {
    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.begins.resize(1 << 18, 0);
        for window in bytes.windows(WINDOW) {
            let window: [u8; WINDOW] = window.try_into().expect("as long");
            let at = begin(&window);
            self.begins[at / 64] |= 1 << (at % 64);
            self.windows.insert(window);
        }
        self.named.push((name.to_owned(), bytes.to_vec()));
    }

    /// Names of what stands in `bytes`, with how often and where first.
    fn found(&self, bytes: &[u8]) -> Vec<(String, usize, usize)> {
        let mut found: Vec<(String, usize, usize)> = Vec::new();
        for (at, window) in bytes.windows(WINDOW).enumerate() {
            let begin = begin(window);
            if self.begins[begin / 64] >> (begin % 64) & 1 == 0 || !self.windows.contains(window) {
                continue;
            }
            let of = |named: &&(String, Vec<u8>)| named.1.windows(WINDOW).any(|other| other == window);
            let (name, _) = self.named.iter().find(of).expect("each window is of one");
            match found.iter_mut().find(|(found, ..)| found == name) {
                Some((_, count, _)) => *count += 1,
                None => found.push((name.clone(), 1, at)),
            }
        }
        found
    }
}

fn begin(window: &[u8]) -> usize {
    window[..3]
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn bytes_of(values: &[f32]) -> [Vec<u8>; 2] {
    let single = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let half = values
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    [single, half]
}

/// The palms as they came, and rotated as one and as one of many.
fn rows(rotation: &Rotation, needles: &mut Needles) {
    let dim = rotation.dimension();
    for seed in PALMS {
        let raw = palm(seed);
        let signature = Signature::new(raw.clone(), dim).expect("a unit vector");
        let mut many = raw.clone();
        rotation.protect_rows(&mut many);
        let forms = [
            ("raw", raw),
            ("rotated", rotation.protect(&signature).values().to_vec()),
            ("rotated", many),
        ];
        for (form, values) in forms {
            for (bytes, precision) in bytes_of(&values).into_iter().zip(["single", "half"]) {
                needles.add(&format!("palm {seed}, {form}, {precision} precision"), &bytes);
            }
        }
    }
}

/// Codes of the palms as a segment's refine plane has them.
fn codes(rotation: &Rotation, needles: &mut Needles) {
    for seed in PALMS {
        let signature = Signature::new(palm(seed), rotation.dimension()).expect("a unit vector");
        let rotated = rotation.protect(&signature);
        let row: Vec<f16> = rotated.values().iter().map(|v| f16::from_f32(*v)).collect();
        needles.add(
            &format!("code {seed}"),
            &Codes::encode(rotation.dimension(), &row).refine,
        );
    }
}

/// The key-encryption key, and what it opens of the keyring: in binary, hexadecimal and base64.
fn keys(data: &Path) -> Vec<(String, Vec<u8>)> {
    let text = fs::read_to_string(data.join("kek")).expect("the key's file");
    let kek = from_hex(text.trim()).expect("hexadecimal");
    let mut keys = vec![("the key-encryption key".to_owned(), kek.to_vec())];
    let ring: serde_json::Value =
        serde_json::from_slice(&fs::read(data.join("keyring")).expect("the keyring")).expect("JSON");
    let wrapping =
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &hkdf(&kek, b"keyring wrap")).expect("32 bytes"));
    for purpose in ["data", "transform", "link"] {
        let wrapped = ring["body"]["tenants"]["acme"][purpose]
            .as_str()
            .expect("a wrapped key");
        let sealed = from_hex(wrapped).expect("hexadecimal");
        let (nonce, rest) = sealed.split_first_chunk().expect("a nonce");
        let place: Vec<u8> = ["tenant", "acme", purpose]
            .iter()
            .flat_map(|part| prefixed(part.as_bytes()))
            .collect();
        let mut key = rest.to_vec();
        let key = wrapping
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(&place), &mut key)
            .expect("it opens");
        keys.push((format!("the {purpose} key"), key.to_vec()));
    }
    let forms = |(name, key): (String, Vec<u8>)| {
        let hexadecimal = to_hex(&key).into_bytes();
        let base64 = to_base64(&key).into_bytes();
        [
            (format!("{name}, binary"), key),
            (format!("{name}, hexadecimal"), hexadecimal),
            (format!("{name}, base64"), base64),
        ]
    };
    keys.into_iter().flat_map(forms).collect()
}

fn prefixed(part: &[u8]) -> Vec<u8> {
    [&(part.len() as u64).to_le_bytes(), part].concat()
}

/// HKDF-SHA-256 with the salt and context of docs/format.md.
fn hkdf(key: &[u8], info: &[u8]) -> [u8; 32] {
    use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
    struct Len;
    impl KeyType for Len {
        fn len(&self) -> usize {
            32
        }
    }
    let mut derived = [0; 32];
    Salt::new(HKDF_SHA256, b"thenar")
        .extract(key)
        .expand(&[&prefixed(info)], Len)
        .and_then(|okm| okm.fill(&mut derived))
        .expect("32 bytes");
    derived
}

fn to_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[(bits & 63) as usize]);
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len())
            .map(|at| digit(bits >> (18 - 6 * at)))
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("readable").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// A region of a process's memory.
struct Region {
    range: std::ops::Range<u64>,
    name: String,
    /// As smaps has them.
    flags: Vec<String>,
}

/// The regions that can be read; none where the system forbids to look.
fn regions(process: u32) -> Option<Vec<Region>> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps")).ok()?;
    let mut regions = Vec::new();
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let region: &mut Region = regions.last_mut().expect("flags stand behind a region");
            region.flags = flags.split_whitespace().map(str::to_owned).collect();
        } else if let Some((range, rest)) = line.split_once(' ')
            && let Some((from, to)) = range.split_once('-')
            && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        {
            regions.push(Region {
                range: from..to,
                name: rest.split_whitespace().skip(4).collect::<Vec<_>>().join(" "),
                flags: Vec::new(),
            });
        }
    }
    regions.retain(|region| region.flags.iter().any(|flag| flag == "rd") && !region.name.starts_with("[v"));
    Some(regions)
}

fn read(memory: &fs::File, region: &Region) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(region.range.end - region.range.start).expect("it is in memory")];
    let mut at = 0;
    // Page by page where a whole can't be had.
    while at < bytes.len() {
        match memory.read_at(&mut bytes[at..], region.range.start + at as u64) {
            Ok(0) | Err(_) => at = (at / 4_096 + 1) * 4_096,
            Ok(read) => at += read,
        }
    }
    bytes
}

/// Everything that a server does with a palm and a link.
async fn live(child: &Child<'_>) {
    child.create_tenant("acme").await;
    let mut operator = child.operator("acme").await;
    let imported: Vec<(String, Vec<f32>)> = (0..50).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &imported).await.expect("imported");
    // Enough for a flush, and some that stay pending.
    for n in 50..130 {
        operator
            .enroll(&format!("e-{n}"), &palm(n))
            .await
            .expect("enrolled");
    }
    operator
        .enroll_linked("linked", &palm(130), BADGE)
        .await
        .expect("enrolled");
    for n in 131..PALMS.end {
        operator.identify(&palm(n)).await.expect("answered");
    }
    for n in [0, 60, 129] {
        let subject = operator.identify(&palm(n)).await.expect("answered").subject_id;
        operator.verify(&subject, &palm(n)).await.expect("answered");
        operator.investigate(&palm(n), 5).await.expect("answered");
        let erased = operator
            .erase(&format!("erase-{n}"), &subject)
            .await
            .expect("erased");
        operator.await_purged(erased.erasure).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_log_and_memory_hold_nothing_readable() {
    let world = World::prepare();
    let log = world.data().with_file_name("log");
    let child = Child::start_with(&world, fs::File::create(&log).expect("a file").into()).await;
    live(&child).await;

    let kek = KekSource::File(world.data().join("kek")).load().expect("the key");
    let keyring = Keyring::read(&world.data().join("keyring"), &kek).expect("opens");
    let key = keyring
        .get(&"acme".parse().expect("an id"), Purpose::Transform)
        .expect("opens")
        .expect("there");
    let rotation = Rotation::derive(&key, 1, Dimension::new(DIM).expect("valid"));
    let (mut secret, mut hidden) = (Needles::default(), Needles::default());
    rows(&rotation, &mut secret);
    secret.add("the link", BADGE.as_bytes());
    for (name, bytes) in keys(&world.data()) {
        secret.add(&name, &bytes);
        hidden.add(&name, &bytes);
    }
    codes(&rotation, &mut secret);
    codes(&rotation, &mut hidden);

    let mut looked_at = 0;
    for path in files(&world.data()).into_iter().chain([log]) {
        // The key-encryption key's own file, of which docs/operations.md says that it belongs elsewhere.
        if path == world.data().join("kek") {
            continue;
        }
        let bytes = fs::read(&path).expect("readable");
        looked_at += bytes.len();
        let found = secret.found(&bytes);
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
    println!("files and log: {looked_at} bytes");
    memory(child.id(), &secret, &hidden);
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).expect("the limits are public");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a limit");
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"]
    );
    child.kill();
}

fn memory(process: u32, secret: &Needles, hidden: &Needles) {
    let (Some(regions), Ok(memory)) = (regions(process), fs::File::open(format!("/proc/{process}/mem")))
    else {
        println!(
            "memory: not looked at, for the system lets nobody but root see that of a process which is not dumpable"
        );
        return;
    };
    let (mut dumpable, mut seen, mut faults) = (0, HashSet::new(), Vec::new());
    for region in &regions {
        let bytes = read(&memory, region);
        if region.flags.iter().any(|flag| flag == "dd") {
            for (name, ..) in hidden.found(&bytes) {
                seen.insert(name);
                assert!(
                    region.flags.iter().any(|flag| flag == "lo"),
                    "{:?} is not locked",
                    region.range
                );
            }
        } else {
            dumpable += bytes.len();
            for (name, count, at) in secret.found(&bytes) {
                faults.push(format!(
                    "{} {:x}+{at:x}: {name}, {count} times",
                    region.name, region.range.start
                ));
            }
        }
    }
    println!(
        "memory: {dumpable} bytes that a core dump would have, and {} secrets in what it would not",
        seen.len()
    );
    // So the search does find what is there.
    assert!(
        seen.contains("the data key, binary"),
        "keys lie in the vault: {seen:?}"
    );
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
