//! Interposes the system calls that change files, and makes some of those on one data directory fail as a shared file says. Linux with glibc alone; part of no server.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![expect(
    unsafe_code,
    reason = "taking the place of C functions is calling C with pointers"
)]

use std::ffi::{c_char, c_int, c_void};

use libc::{iovec, off_t, off64_t, size_t, ssize_t};

mod control;
#[path = "../../src/torture/layout.rs"]
mod layout;
mod loss;
mod real;

use control::{Call, SECTOR};
use layout::Kind;
use loss::Change;
use real::real;

/// Fails a call.
fn fail(errno: c_int) -> c_int {
    // SAFETY: it is the address of this thread's own errno.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// One write of `count` bytes, which `change` says again, with whatever strikes it. `call` does the first so many bytes of it.
fn struck(fd: c_int, count: size_t, change: Change, call: impl Fn(size_t) -> ssize_t) -> ssize_t {
    loss::before(fd, change);
    match control::strike(fd, Call::Write(count)) {
        None => call(count),
        Some(Kind::ShortWrite) => call(count / 2),
        Some(Kind::TornWrite) => {
            call(count / 2 / SECTOR * SECTOR);
            // SAFETY: it takes no pointers; the signal ends this process at once.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            fail(libc::EIO) as ssize_t
        }
        Some(Kind::DiskFull) => fail(libc::ENOSPC) as ssize_t,
        Some(Kind::WriteFails | Kind::SyncFails) => fail(libc::EIO) as ssize_t,
    }
}

/// An fsync: it fails or it is made.
fn sync(fd: c_int, call: impl Fn() -> c_int) -> c_int {
    let begun = loss::begin_sync(fd);
    let outcome = refused(fd, Call::Sync, call);
    if let Some(begun) = begun.filter(|_| outcome == 0) {
        loss::synced(&begun);
    }
    outcome
}

/// Any other call: it fails or it is made.
fn refused(fd: c_int, kind: Call, call: impl Fn() -> c_int) -> c_int {
    match control::strike(fd, kind) {
        None => call(),
        Some(Kind::DiskFull) => fail(libc::ENOSPC),
        Some(_) => fail(libc::EIO),
    }
}

/// `write(2)`
///
/// # Safety
///
/// As the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buf: *const c_void, count: size_t) -> ssize_t {
    type Real = unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t;
    let real = real!(c"write", Real);
    // SAFETY: the caller's own arguments, at most `count` bytes of them.
    struck(fd, count, Change::Write(count), |count| unsafe {
        real(fd, buf, count)
    })
}

/// `pwrite(2)`
///
/// # Safety
///
/// As the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(fd: c_int, buf: *const c_void, count: size_t, at: off_t) -> ssize_t {
    type Real = unsafe extern "C" fn(c_int, *const c_void, size_t, off_t) -> ssize_t;
    let real = real!(c"pwrite", Real);
    // SAFETY: the caller's own arguments, at most `count` bytes of them.
    struck(fd, count, Change::WriteAt(at, count), |count| unsafe {
        real(fd, buf, count, at)
    })
}

/// `pwrite64`
///
/// # Safety
///
/// As the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(fd: c_int, buf: *const c_void, count: size_t, at: off64_t) -> ssize_t {
    type Real = unsafe extern "C" fn(c_int, *const c_void, size_t, off64_t) -> ssize_t;
    let real = real!(c"pwrite64", Real);
    // SAFETY: the caller's own arguments, at most `count` bytes of them.
    struck(fd, count, Change::WriteAt(at, count), |count| unsafe {
        real(fd, buf, count, at)
    })
}

/// `writev(2)`: struck as a write of its first part.
///
/// # Safety
///
/// As the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    type Real = unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t;
    let real = real!(c"writev", Real);
    if count < 1 {
        // SAFETY: the caller's own arguments.
        return unsafe { real(fd, parts, count) };
    }
    // SAFETY: there is at least one part.
    let first = unsafe { *parts };
    // SAFETY: the caller says that there are so many parts.
    let all = unsafe { std::slice::from_raw_parts(parts, usize::try_from(count).unwrap_or(0)) };
    let whole = Change::Write(all.iter().map(|part| part.iov_len).sum());
    struck(fd, first.iov_len, whole, |len| {
        if len == first.iov_len {
            // SAFETY: the caller's own arguments.
            return unsafe { real(fd, parts, count) };
        }
        let part = iovec {
            iov_base: first.iov_base,
            iov_len: len,
        };
        // SAFETY: one part that lies within the caller's first.
        unsafe { real(fd, &raw const part, 1) }
    })
}

/// `fsync(2)`
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    type Real = unsafe extern "C" fn(c_int) -> c_int;
    let real = real!(c"fsync", Real);
    // SAFETY: it takes no pointers.
    sync(fd, || unsafe { real(fd) })
}

/// `fdatasync(2)`
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    type Real = unsafe extern "C" fn(c_int) -> c_int;
    let real = real!(c"fdatasync", Real);
    // SAFETY: it takes no pointers.
    sync(fd, || unsafe { real(fd) })
}

/// `ftruncate(2)`
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, len: off_t) -> c_int {
    type Real = unsafe extern "C" fn(c_int, off_t) -> c_int;
    let real = real!(c"ftruncate", Real);
    loss::before(fd, Change::Truncate(len));
    // SAFETY: it takes no pointers.
    refused(fd, Call::Truncate, || unsafe { real(fd, len) })
}

/// `ftruncate64`
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, len: off64_t) -> c_int {
    type Real = unsafe extern "C" fn(c_int, off64_t) -> c_int;
    let real = real!(c"ftruncate64", Real);
    loss::before(fd, Change::Truncate(len));
    // SAFETY: it takes no pointers.
    refused(fd, Call::Truncate, || unsafe { real(fd, len) })
}

/// `rename(2)`
///
/// # Safety
///
/// As the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    type Real = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;
    let real = real!(c"rename", Real);
    // SAFETY: the caller gives a string that ends with a zero.
    let target = unsafe { std::ffi::CStr::from_ptr(to) };
    let outcome = control::strike_path(target.to_bytes(), Call::Rename);
    match outcome {
        // SAFETY: the caller's own arguments.
        None => unsafe { real(from, to) },
        Some(Kind::DiskFull) => fail(libc::ENOSPC),
        Some(_) => fail(libc::EIO),
    }
}
