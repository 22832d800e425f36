//! `SQLite`'s file layer with authenticated pages: each page of a catalog and of its log gets a digest when it is written and is checked when it is read.
//! Everything else is done by the file layer of the system.
//!
//! Only whole pages carry content, and pages have one length: files that say otherwise are not read. What is shorter is the start of the catalog, read before its first page is, and the headers in the log. A frame of the log
//! is read with its header where `SQLite` looks for the log's end: one whose page fails is given the page number 0, which no frame has, so that the log ends
//! before it. `secure_delete` sees to it that no page of a catalog was never written.
#![expect(unsafe_code, reason = "SQLite asks for its file layer through C functions")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Once};

use rusqlite::{Connection, ffi};

use super::page::{
    FRAME_HEAD_LEN, FRAME_HEADER_LEN, LOG_HEADER_LEN, PAGE_LEN, PageFault, PageSeal, RESERVED_LEN, Spot,
    set_fault,
};
use crate::storage::error::StorageError;

/// The name that `SQLite` knows this layer by.
pub(super) const NAME: &CStr = c"thenar";
/// File control that hands a seal to a catalog's file; those below 100 are `SQLite`'s own.
const SEAL: c_int = 0x7468;
/// File control that syncs a catalog's file.
const SYNC: c_int = 0x7469;
/// Bytes of a frame of the log.
const FRAME_LEN: usize = FRAME_HEADER_LEN + PAGE_LEN;
/// The header of a catalog, which is read before its first page is.
const HEADER_LEN: u64 = 100;

/// A file of a catalog. The system's own file follows it in memory.
#[repr(C)]
struct SealedFile {
    /// Where `SQLite` looks for the methods.
    head: ffi::sqlite3_file,
    /// Or the catalog itself.
    is_log: bool,
    /// None until [`seal`] was called.
    seal: Option<Arc<PageSeal>>,
    /// Where in the log a frame's header was just written, and its head: the page comes next.
    begun: Cell<Option<(u64, [u8; FRAME_HEAD_LEN])>>,
}

/// Distance from a file to the system's own.
const INNER_AT: usize = size_of::<SealedFile>().next_multiple_of(16);

/// The first `SQLite` that copies a log safely beside a writer who begins it anew meanwhile.
const VERSION_MIN: c_int = 3_051_003;

/// Makes the layer known, once.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: it takes nothing and gives a number.
        let version = unsafe { ffi::sqlite3_libversion_number() };
        assert!(
            version >= VERSION_MIN,
            "SQLite {version} is older than {VERSION_MIN} and may damage catalogs"
        );
        // SAFETY: the default layer is there from initialisation on and for good, and is copied. The copy, which lives for good too, keeps its methods,
        // which look at `pAppData` at most, and that is the same.
        unsafe {
            let mut layer = *ffi::sqlite3_vfs_find(ptr::null());
            layer.szOsFile += c_int::try_from(INNER_AT).expect("small");
            layer.pNext = ptr::null_mut();
            layer.zName = NAME.as_ptr();
            layer.xOpen = Some(open);
            let code = ffi::sqlite3_vfs_register(Box::leak(Box::new(layer)), 0);
            assert_eq!(code, ffi::SQLITE_OK, "a name is enough to register");
        }
    });
}

/// Gives a connection that was opened with this layer the seal of its pages. Before that it reads and writes none.
pub(super) fn seal(conn: &Connection, seal: &Arc<PageSeal>) -> Result<(), StorageError> {
    control(conn, SEAL, ptr::from_ref(seal).cast_mut().cast()).map_err(unsealed)
}

/// Syncs the catalog without its log.
pub(super) fn sync_catalog(conn: &Connection) -> Result<(), StorageError> {
    control(conn, SYNC, ptr::null_mut()).map_err(|code| failed(code, "the catalog can't be synced"))
}

/// Leaves room for digests in the pages of a catalog that has none yet.
pub(super) fn reserve(conn: &Connection) -> Result<(), StorageError> {
    let mut reserved = c_int::try_from(RESERVED_LEN).expect("small");
    control(
        conn,
        ffi::SQLITE_FCNTL_RESERVE_BYTES,
        ptr::from_mut(&mut reserved).cast(),
    )
    .map_err(unsealed)
}

/// An error is `SQLite`'s code.
fn control(conn: &Connection, operation: c_int, argument: *mut c_void) -> Result<(), c_int> {
    // SAFETY: the connection is open, and the argument is what the operation takes: a seal, which is copied, a number, or nothing.
    let code = unsafe { ffi::sqlite3_file_control(conn.handle(), c"main".as_ptr(), operation, argument) };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

fn unsealed(code: c_int) -> StorageError {
    failed(code, "the catalog's pages can't be authenticated")
}

fn failed(code: c_int, what: &str) -> StorageError {
    let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(what.to_owned()));
    StorageError::Catalog(error)
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Without maps of files, which would hand out pages unseen.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Opens a file: that of a catalog or its log sealed, temporary ones as the system does.
unsafe extern "C" fn open(
    _layer: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room for `szOsFile` bytes and a name of its own.
    unsafe {
        (*file).pMethods = ptr::null();
        let system = ffi::sqlite3_vfs_find(ptr::null());
        let system_open = (*system).xOpen.expect("every layer opens files");
        let (is_log, seal) = if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 {
            (false, None)
        } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
            let Some(seal) = seal_of_catalog(name) else {
                return ffi::SQLITE_CANTOPEN;
            };
            (true, Some(seal))
        } else if flags & ffi::SQLITE_OPEN_MAIN_JOURNAL != 0 {
            // A catalog has a write-ahead log. A rollback journal was put there by somebody else.
            return ffi::SQLITE_CANTOPEN;
        } else {
            return system_open(system, name, file, flags, out_flags);
        };
        let inner = inner(file);
        (*inner).pMethods = ptr::null();
        let code = system_open(system, name, inner, flags, out_flags);
        if code != ffi::SQLITE_OK {
            return code;
        }
        file.cast::<SealedFile>().write(SealedFile {
            head: ffi::sqlite3_file {
                pMethods: &raw const METHODS,
            },
            is_log,
            seal,
            begun: Cell::new(None),
        });
    }
    ffi::SQLITE_OK
}

/// The seal of the catalog whose log has this name.
///
/// # Safety
/// The name must be one that `SQLite` gave for a log.
unsafe fn seal_of_catalog(log_name: *const c_char) -> Option<Arc<PageSeal>> {
    // SAFETY: the caller's promise; the catalog's file is open as long as its log is.
    unsafe {
        let catalog = NonNull::new(ffi::sqlite3_database_file_object(log_name))?;
        if !ptr::eq(catalog.as_ref().pMethods, &raw const METHODS) {
            return None;
        }
        catalog.cast::<SealedFile>().as_ref().seal.clone()
    }
}

/// The system's own file.
fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    file.wrapping_byte_add(INNER_AT)
}

/// Calls a method of the system's own file.
macro_rules! forward {
    ($file:ident . $method:ident ( $($argument:expr),* )) => {{
        let inner = inner($file);
        // SAFETY: the file was opened by the system's layer, which gave it all methods of version 2; SQLite's arguments are handed on.
        unsafe {
            let method = (*(*inner).pMethods).$method.expect("the system's files have all methods");
            method(inner, $($argument),*)
        }
    }};
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let code = forward!(file.xClose());
    // SAFETY: `open` wrote it, and SQLite closes a file once.
    unsafe { file.cast::<SealedFile>().drop_in_place() };
    code
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite reads into `len` bytes of its own and nobody else has them.
    let bytes = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), usize::try_from(len).unwrap_or(0)) };
    // SAFETY: SQLite calls this with a file that is open.
    let own = unsafe { sealed(file) };
    let at = offset.cast_unsigned();
    if own.is_log && bytes.len() == PAGE_LEN {
        return read_frame(own, file, bytes, at);
    }
    let code = forward!(file.xRead(to, len, offset));
    if code != ffi::SQLITE_OK && code != ffi::SQLITE_IOERR_SHORT_READ {
        return code;
    }
    match own {
        SealedFile { is_log: false, .. } if at + bytes.len() as u64 <= HEADER_LEN => code,
        // No page is as short, whatever length the file's own header gives pages.
        SealedFile { is_log: true, .. } if bytes.len() <= LOG_HEADER_LEN => code,
        SealedFile { is_log: true, .. } if code != ffi::SQLITE_OK && bytes.len() == FRAME_LEN => code,
        SealedFile {
            is_log: true,
            seal: Some(seal),
            ..
        } if bytes.len() == FRAME_LEN => {
            let (header, page) = bytes.split_at_mut(FRAME_HEADER_LEN);
            let spot = Spot::Log {
                offset: at + FRAME_HEADER_LEN as u64,
                head: *header.first_chunk().expect("a header is longer"),
            };
            if !seal.open(spot, page.try_into().expect("the rest of a frame")) {
                header.fill(0);
            }
            code
        }
        SealedFile { is_log: true, .. } => ffi::SQLITE_IOERR_DATA,
        SealedFile { is_log: false, .. } => opened(own, Spot::Catalog { offset: at }, bytes, code),
    }
}

/// Reads a page of the log with its frame's header, which says which page it is.
fn read_frame(own: &SealedFile, file: *mut ffi::sqlite3_file, page: &mut [u8], offset: u64) -> c_int {
    let mut frame = [0_u8; FRAME_LEN];
    let begin = offset.checked_sub(FRAME_HEADER_LEN as u64);
    let Some(begin) = begin.and_then(|begin| i64::try_from(begin).ok()) else {
        return ffi::SQLITE_IOERR_DATA;
    };
    let len = c_int::try_from(FRAME_LEN).expect("small");
    let code = forward!(file.xRead(frame.as_mut_ptr().cast(), len, begin));
    let (header, read) = frame.split_at(FRAME_HEADER_LEN);
    page.copy_from_slice(read);
    if code != ffi::SQLITE_OK {
        return code;
    }
    let head = *header.first_chunk().expect("a header is longer");
    opened(own, Spot::Log { offset, head }, page, code)
}

/// `code` for a page that is authentic.
fn opened(own: &SealedFile, spot: Spot, bytes: &mut [u8], code: c_int) -> c_int {
    let Some(seal) = &own.seal else {
        return ffi::SQLITE_IOERR_DATA;
    };
    let page = <&mut [u8; PAGE_LEN]>::try_from(bytes).ok();
    if page.is_some_and(|page| seal.open(spot, page)) {
        return code;
    }
    set_fault(PageFault(spot));
    ffi::SQLITE_IOERR_DATA
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite writes `len` bytes that nobody changes meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(len).unwrap_or(0)) };
    // SAFETY: SQLite calls this with a file that is open.
    let own = unsafe { sealed(file) };
    let at = offset.cast_unsigned();
    if own.is_log && bytes.len() <= LOG_HEADER_LEN {
        let code = forward!(file.xWrite(from, len, offset));
        let frame = <&[u8; FRAME_HEADER_LEN]>::try_from(bytes).ok();
        let head = frame.and_then(|header| header.first_chunk().copied());
        let begun = head.map(|head| (at + FRAME_HEADER_LEN as u64, head));
        own.begun.set(begun.filter(|_| code == ffi::SQLITE_OK));
        return code;
    }
    let page = <[u8; PAGE_LEN]>::try_from(bytes).ok();
    let spot = spot(own, file, at);
    let (Some(seal), Some(spot), Some(mut page)) = (&own.seal, spot, page) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    if !seal.seal(spot, &mut page) {
        return ffi::SQLITE_IOERR_WRITE;
    }
    forward!(file.xWrite(page.as_ptr().cast(), len, offset))
}

/// What is known of a file.
///
/// # Safety
/// `open` must have written it, and the answer may be used until `close`. Of what is not a cell only the seal is ever replaced, before anything is read or written.
unsafe fn sealed<'a>(file: *mut ffi::sqlite3_file) -> &'a SealedFile {
    // SAFETY: the caller's promise.
    unsafe { &*file.cast::<SealedFile>() }
}

/// Where the page that is written at an offset is; in the log its header, which was written before it, says more. None where that can't be read.
fn spot(own: &SealedFile, file: *mut ffi::sqlite3_file, offset: u64) -> Option<Spot> {
    if !own.is_log {
        return Some(Spot::Catalog { offset });
    }
    if let Some((begun, head)) = own.begun.take()
        && begun == offset
    {
        return Some(Spot::Log { offset, head });
    }
    let mut head = [0_u8; FRAME_HEAD_LEN];
    let at = i64::try_from(offset.checked_sub(FRAME_HEADER_LEN as u64)?).ok()?;
    let len = c_int::try_from(FRAME_HEAD_LEN).expect("small");
    let code = forward!(file.xRead(head.as_mut_ptr().cast(), len, at));
    (code == ffi::SQLITE_OK).then_some(Spot::Log { offset, head })
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    if operation == SEAL {
        // SAFETY: `open` wrote the file, and this module alone asks for this operation, with a seal.
        unsafe { (*file.cast::<SealedFile>()).seal = Some(Arc::clone(&*argument.cast::<Arc<PageSeal>>())) };
        return ffi::SQLITE_OK;
    }
    if operation == SYNC {
        #[cfg(test)]
        if tests::SYNC_FAILS.get() {
            return ffi::SQLITE_IOERR_FSYNC;
        }
        return forward!(file.xSync(ffi::SQLITE_SYNC_NORMAL));
    }
    forward!(file.xFileControl(operation, argument))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    forward!(file.xTruncate(len))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    forward!(file.xSync(flags))
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, len: *mut ffi::sqlite3_int64) -> c_int {
    forward!(file.xFileSize(len))
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file.xLock(level))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file.xUnlock(level))
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, is_reserved: *mut c_int) -> c_int {
    forward!(file.xCheckReservedLock(is_reserved))
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    forward!(file.xSectorSize())
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // Parts of pages can't be checked.
    forward!(file.xDeviceCharacteristics()) & !ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    len: c_int,
    extend: c_int,
    to: *mut *mut c_void,
) -> c_int {
    forward!(file.xShmMap(region, len, extend, to))
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    forward!(file.xShmLock(first, count, flags))
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    forward!(file.xShmBarrier());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    forward!(file.xShmUnmap(delete))
}

#[cfg(test)]
#[path = "vfs_tests.rs"]
pub(super) mod tests;
