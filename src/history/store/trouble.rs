//! Machine: what an error of SQLite means for the file.

use super::FILE_BYTES_MAX;
use rusqlite::{Error, ErrorCode};
use std::io;

/// What is to be done about an error.
#[derive(Debug)]
pub(super) enum Kind {
    /// It is the job's own.
    Refused,
    /// Nothing can be done with the file now; it may be well again later.
    Unable(Tried),
    /// The file is not what it should be, and never will be again.
    Damaged,
}

/// Why the file cannot be used, in words that may be public: no paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Full,
    LargestSize,
    ReadOnly,
    Fails,
    CannotOpen,
    Locked,
    NoMemory,
    InUse,
    Newer,
    Outdated,
    Damaged,
}

impl Why {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Full => "nothing can be written: the disk is full",
            Self::LargestSize => "nothing can be written: the history has reached its largest size",
            Self::ReadOnly => "nothing can be written: the disk is read-only",
            Self::Fails => "nothing can be kept: the disk fails",
            Self::CannotOpen => "nothing can be kept: the file cannot be opened",
            Self::Locked => "nothing can be written: another program has locked the file",
            Self::NoMemory => "nothing can be kept: there is no memory",
            Self::InUse => "nothing can be kept: another process uses the same state directory",
            Self::Newer => "nothing can be kept: the history was written by a newer version",
            Self::Outdated => "nothing can be kept: the history cannot be brought up to date",
            Self::Damaged => "nothing can be kept: the history is damaged",
        }
    }
}

/// What was tried in vain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tried {
    pub why: Why,
    /// In words for the log.
    pub detail: String,
    /// Whether the connection may not be used any further.
    pub must_reopen: bool,
}

impl Tried {
    pub(super) fn new(why: Why, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into(), must_reopen: true }
    }

    /// Of a file or folder.
    pub(super) fn of(error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Why::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Why::Full,
            _ => Why::Fails,
        };
        Self::new(why, error.to_string())
    }
}

/// What `error` means for a file of `bytes`.
pub(super) fn kind(error: &Error, bytes: u64) -> Kind {
    let Error::SqliteFailure(failure, _) = error else { return Kind::Refused };
    let unable = |why, must_reopen| Kind::Unable(Tried { must_reopen, ..Tried::new(why, error.to_string()) });
    match failure.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Kind::Damaged,
        // Some slack: what a failed job had grown the file by is given back before this is asked.
        ErrorCode::DiskFull if bytes + FILE_BYTES_MAX / 64 >= FILE_BYTES_MAX => unable(Why::LargestSize, false),
        ErrorCode::DiskFull => unable(Why::Full, false),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => unable(Why::ReadOnly, true),
        ErrorCode::SystemIoFailure | ErrorCode::NoLargeFileSupport | ErrorCode::FileLockingProtocolFailed => {
            unable(Why::Fails, true)
        }
        ErrorCode::CannotOpen => unable(Why::CannotOpen, true),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => unable(Why::Locked, false),
        ErrorCode::OutOfMemory => unable(Why::NoMemory, true),
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn of(code: i32, bytes: u64) -> Kind {
        kind(&Error::SqliteFailure(ffi::Error::new(code), None), bytes)
    }

    #[test]
    fn only_what_can_pass_is_tried_again() {
        assert!(matches!(of(ffi::SQLITE_CORRUPT, 0), Kind::Damaged));
        assert!(matches!(of(ffi::SQLITE_NOTADB, 0), Kind::Damaged));
        assert!(matches!(of(ffi::SQLITE_CONSTRAINT, 0), Kind::Refused));
        assert!(matches!(kind(&Error::QueryReturnedNoRows, 0), Kind::Refused));
        for code in
            [ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CANTOPEN, ffi::SQLITE_BUSY]
        {
            assert!(matches!(of(code, 0), Kind::Unable(_)), "{code}");
        }
    }

    #[test]
    fn a_full_disk_and_a_full_file_are_told_apart() {
        let why = |bytes| match of(ffi::SQLITE_FULL, bytes) {
            Kind::Unable(tried) => Some(tried.why),
            _ => None,
        };
        assert_eq!(why(1 << 20), Some(Why::Full));
        assert_eq!(why(FILE_BYTES_MAX - 4_096), Some(Why::LargestSize));
    }
}
