//! Decides whether a call is struck: by the shared words, by the kind of the call and by the file it is made on. Makes none of the calls.

use std::ffi::c_int;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::layout::{CONTROL_VARIABLE, COUNTDOWN, DATA_VARIABLE, KIND, Kind, LEFT, SEEN, STRUCK, WORDS};

/// Longest path that is looked at.
const PATH_MAX: usize = 4_096;

/// A write within a sector is done whole or not at all (docs/format.md).
pub(crate) const SECTOR: usize = 512;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A write of so many bytes.
    Write(usize),
    /// A change of a file's length.
    Truncate,
    /// A rename.
    Rename,
    /// An fsync.
    Sync,
}

impl Call {
    /// Whether this kind of fault strikes it.
    fn suits(self, kind: Kind) -> bool {
        match kind {
            Kind::WriteFails => self != Self::Sync,
            Kind::DiskFull => matches!(self, Self::Write(_) | Self::Rename),
            Kind::SyncFails => self == Self::Sync,
            Kind::ShortWrite | Kind::TornWrite => matches!(self, Self::Write(len) if len >= 2 * SECTOR),
        }
    }
}

/// The shared words and the folder they are about.
struct Control {
    words: &'static [AtomicU64; WORDS],
    folder: Vec<u8>,
}

/// The fault that this call on an open file meets.
pub(crate) fn strike(fd: c_int, call: Call) -> Option<Kind> {
    let control = control()?;
    let kind = wanted(control.words, call)?;
    let mut path = [0; PATH_MAX];
    let len = path_of(fd, &mut path)?;
    if !is_within(path.get(..len)?, &control.folder) {
        return None;
    }
    count(control.words, kind)
}

/// The fault that this call on a path meets.
pub(crate) fn strike_path(path: &[u8], call: Call) -> Option<Kind> {
    let control = control()?;
    let kind = wanted(control.words, call)?;
    if !is_within(path, &control.folder) {
        return None;
    }
    count(control.words, kind)
}

/// Whether an open file is in the folder and its name ends in another way.
pub(crate) fn is_ours(fd: c_int, other: &[u8]) -> bool {
    let mut path = [0; PATH_MAX];
    let len = path_of(fd, &mut path);
    let path = len.and_then(|len| path.get(..len));
    control()
        .zip(path)
        .is_some_and(|(control, path)| is_within(path, &control.folder) && !path.ends_with(other))
}

fn control() -> Option<&'static Control> {
    static CONTROL: OnceLock<Option<Control>> = OnceLock::new();
    CONTROL.get_or_init(open).as_ref()
}

/// Maps the shared file that the environment names; without it nothing is ever struck.
fn open() -> Option<Control> {
    let mut folder = std::env::var_os(DATA_VARIABLE)?.as_bytes().to_vec();
    folder.push(b'/');
    let path = std::ffi::CString::new(std::env::var_os(CONTROL_VARIABLE)?.as_bytes()).ok()?;
    // SAFETY: the path ends with a zero.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return None;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of an open file at a place that the system chooses.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), WORDS * 8, access, libc::MAP_SHARED, fd, 0) };
    // SAFETY: it is ours; the mapping stays.
    unsafe { libc::close(fd) };
    if map == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the mapping is aligned to a page, as long as the words, never unmapped, and the driver made the file that long.
    let words = unsafe { &*map.cast::<[AtomicU64; WORDS]>() };
    Some(Control { words, folder })
}

/// The fault that is set, where it suits this call.
fn wanted(words: &[AtomicU64; WORDS], call: Call) -> Option<Kind> {
    let [kind, ..] = words;
    let set = kind.load(Ordering::Acquire);
    Kind::ALL
        .into_iter()
        .find(|kind| *kind as u64 == set)
        .filter(|kind| call.suits(*kind))
}

/// Counts a call that the fault is about; the fault, when its time has come.
fn count(words: &[AtomicU64; WORDS], kind: Kind) -> Option<Kind> {
    let word = |index: usize| words.get(index);
    let took = |index: usize| {
        let less = |left: u64| left.checked_sub(1);
        word(index).is_some_and(|word| {
            word.fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
                .is_ok()
        })
    };
    word(SEEN)?.fetch_add(1, Ordering::AcqRel);
    if took(COUNTDOWN) || !took(LEFT) {
        return None;
    }
    // Lifted meanwhile: the driver doesn't expect it any more.
    if word(KIND)?.load(Ordering::Acquire) != kind as u64 {
        return None;
    }
    word(STRUCK)?.fetch_add(1, Ordering::AcqRel);
    Some(kind)
}

/// The path of an open file, as the system knows it.
fn path_of(fd: c_int, path: &mut [u8; PATH_MAX]) -> Option<usize> {
    let mut name = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut digits = [0; 10];
    let mut left = u32::try_from(fd).ok()?;
    let mut count = 0;
    // Without allocating: whoever calls may be anywhere.
    while left > 0 || count == 0 {
        *digits.get_mut(count)? = b'0' + u8::try_from(left % 10).ok()?;
        left /= 10;
        count += 1;
    }
    let places = name.get_mut("/proc/self/fd/".len()..)?;
    for (place, digit) in places.iter_mut().zip(digits.iter().take(count).rev()) {
        *place = *digit;
    }
    // SAFETY: the name ends with a zero, and at most the buffer's length is written.
    let len = unsafe { libc::readlink(name.as_ptr().cast(), path.as_mut_ptr().cast(), PATH_MAX) };
    usize::try_from(len).ok()
}

/// Whether a path is in a folder, which ends with a slash.
fn is_within(path: &[u8], folder: &[u8]) -> bool {
    path.starts_with(folder)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
