//! Notes what each change of a file in the data directory replaces and what an fsync made durable, so that the driver can take back what a loss of power
//! would have taken. Changes no file of the server; names (new files, renames, removals) are not noted.

use std::ffi::c_int;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use libc::off64_t;

use crate::control;
use crate::layout::{CHANGED, LOSS_VARIABLE, NOTE_WORDS, SYNCED};

/// `SQLite` maps it, and makes it anew at the start.
const INDEX_SUFFIX: &[u8] = b"-shm";

/// A change that is about to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// So many bytes where the file's position is.
    Write(usize),
    /// So many bytes at this offset.
    WriteAt(off64_t, usize),
    /// This length from now on.
    Truncate(off64_t),
}

/// A file by what stays the same whatever its name is: number and time of birth.
#[derive(Debug, Clone, Copy)]
struct Identity {
    number: u64,
    born: u64,
    size: u64,
}

/// An fsync that is under way.
pub(crate) struct Sync {
    number: u64,
    born: u64,
    /// Notes that stand before this are of changes that it makes durable.
    noted: u64,
}

/// Notes a change before it is made.
pub(crate) fn before(fd: c_int, change: Change) {
    let Some(notes) = notes() else { return };
    if !control::is_ours(fd, INDEX_SUFFIX) {
        return;
    }
    let Some(file) = identity(fd) else { broken() };
    let (at, end) = match change {
        Change::Write(len) => {
            let at = position(fd, file.size);
            (at, at + len as u64)
        }
        Change::WriteAt(at, len) => {
            let at = u64::try_from(at).unwrap_or(0);
            (at, at + len as u64)
        }
        Change::Truncate(len) => (u64::try_from(len).unwrap_or(0), u64::MAX),
    };
    let at = at.min(file.size);
    let Some(replaced) = usize::try_from(end.min(file.size) - at)
        .ok()
        .and_then(|len| content(fd, at, len))
    else {
        broken()
    };
    let words = [
        CHANGED,
        file.number,
        file.born,
        file.size,
        at,
        replaced.len() as u64,
    ];
    append(notes, words, &replaced);
}

/// Before an fsync.
pub(crate) fn begin_sync(fd: c_int) -> Option<Sync> {
    let notes = notes()?;
    if !control::is_ours(fd, INDEX_SUFFIX) {
        return None;
    }
    let file = identity(fd)?;
    Some(Sync {
        number: file.number,
        born: file.born,
        noted: identity(notes)?.size,
    })
}

/// After an fsync that succeeded.
pub(crate) fn synced(sync: &Sync) {
    if let Some(notes) = notes() {
        append(notes, [SYNCED, sync.number, sync.born, 0, sync.noted, 0], &[]);
    }
}

/// The file of notes that the environment names.
fn notes() -> Option<c_int> {
    static NOTES: OnceLock<Option<c_int>> = OnceLock::new();
    *NOTES.get_or_init(|| {
        let path = std::env::var_os(LOSS_VARIABLE)?;
        let path = std::ffi::CString::new(path.as_bytes()).ok()?;
        // SAFETY: the path ends with a zero.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_APPEND | libc::O_CLOEXEC) };
        if fd < 0 {
            broken();
        }
        Some(fd)
    })
}

/// A note that is missing would let the driver take back too little, and nobody would know.
fn broken() -> ! {
    std::process::abort()
}

fn append(notes: c_int, words: [u64; NOTE_WORDS], replaced: &[u8]) {
    let mut note = Vec::with_capacity(NOTE_WORDS * 8 + replaced.len());
    note.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    note.extend_from_slice(replaced);
    // The system call itself, for the function is the one whose place was taken. One call a note, so that notes don't mix.
    // SAFETY: the buffer is as long as it says.
    let written = unsafe { libc::syscall(libc::SYS_write, notes, note.as_ptr(), note.len()) };
    if usize::try_from(written) != Ok(note.len()) {
        broken();
    }
}

fn identity(fd: c_int) -> Option<Identity> {
    let wanted = libc::STATX_INO | libc::STATX_BTIME | libc::STATX_SIZE;
    // SAFETY: zeros are a valid value of this structure of numbers.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: an empty path that ends with a zero, and a structure to write to.
    let failed = unsafe { libc::statx(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, wanted, &raw mut found) };
    if failed != 0 || found.stx_mask & wanted != wanted {
        return None;
    }
    let seconds = u64::try_from(found.stx_btime.tv_sec).ok()?;
    Some(Identity {
        number: found.stx_ino,
        born: seconds * 1_000_000_000 + u64::from(found.stx_btime.tv_nsec),
        size: found.stx_size,
    })
}

fn position(fd: c_int, size: u64) -> u64 {
    // SAFETY: these take no pointers.
    let (flags, at) = unsafe {
        (
            libc::fcntl(fd, libc::F_GETFL),
            libc::lseek64(fd, 0, libc::SEEK_CUR),
        )
    };
    if flags & libc::O_APPEND != 0 {
        return size;
    }
    u64::try_from(at).unwrap_or(size)
}

/// What stands there now.
fn content(fd: c_int, at: u64, len: usize) -> Option<Vec<u8>> {
    if len == 0 {
        return Some(Vec::new());
    }
    // SAFETY: it takes no pointers.
    let access = unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_ACCMODE;
    if access != libc::O_WRONLY {
        return read(fd, at, len);
    }
    // Files that are open for writing alone have no locks that closing another descriptor would take away.
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    // SAFETY: the path ends with a zero.
    let readable = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    let content = (readable >= 0).then(|| read(readable, at, len)).flatten();
    // SAFETY: it is ours.
    unsafe { libc::close(readable) };
    content
}

fn read(fd: c_int, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        let rest = bytes.get_mut(done..)?;
        let at = off64_t::try_from(at + done as u64).ok()?;
        // SAFETY: the buffer is as long as it says.
        let count = unsafe { libc::pread64(fd, rest.as_mut_ptr().cast(), rest.len(), at) };
        match usize::try_from(count) {
            Ok(count) if count > 0 => done += count,
            // Cut meanwhile: less was there to be replaced.
            Ok(_) => bytes.truncate(done),
            Err(_) => return None,
        }
        if bytes.len() == done {
            break;
        }
    }
    Some(bytes)
}
