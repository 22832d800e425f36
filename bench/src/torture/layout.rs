//! The few words that the driver and the preloaded library share through files. Reads and writes nothing itself.
//!
//! Five little-endian words of 8 bytes. The driver writes all others before `KIND`, and the library looks at nothing while that is 0.

/// What strikes: a [`Kind`], or 0 for nothing.
pub const KIND: usize = 0;
/// Calls of the kind that still go well.
pub const COUNTDOWN: usize = 1;
/// Strikes that are left after that.
pub const LEFT: usize = 2;
/// Strikes that happened.
pub const STRUCK: usize = 3;
/// Calls of the kind that were looked at.
pub const SEEN: usize = 4;
/// All words.
pub const WORDS: usize = 5;

/// Environment variable with the path of the shared file. The server takes names that begin with its own for settings.
pub const CONTROL_VARIABLE: &str = "FAULTS_OF_THENAR_CONTROL";
/// Environment variable with the data directory, without links in its path.
pub const DATA_VARIABLE: &str = "FAULTS_OF_THENAR_DATA";

/// Environment variable with the path of the notes about changes; without it none are made.
pub const LOSS_VARIABLE: &str = "FAULTS_OF_THENAR_LOSS";
/// Words of 8 bytes, little-endian, that a note begins with: what it is, the file's number and time of birth (in nanoseconds), its size before, an offset,
/// and how many bytes follow.
pub const NOTE_WORDS: usize = 6;
/// A change: these bytes stood at the offset before it.
pub const CHANGED: u64 = 1;
/// An fsync that succeeded: what was noted of the file before this offset of the notes is durable.
pub const SYNCED: u64 = 2;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A write, a truncation or a rename fails with EIO.
    WriteFails = 1,
    /// Half of a write is done and said to be done.
    ShortWrite = 2,
    /// Writes and renames fail with ENOSPC.
    DiskFull = 3,
    /// An fsync fails with EIO.
    SyncFails = 4,
    /// Half of a write is done, then the process is killed.
    TornWrite = 5,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::WriteFails,
        Self::ShortWrite,
        Self::DiskFull,
        Self::SyncFails,
        Self::TornWrite,
    ];
}
