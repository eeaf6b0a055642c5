//! Files, written whole or not at all.
//!
//! A file that is half written is worse than none: Terraform would read it. So every file is written beside its
//! place, brought to the disk, and renamed.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// The mode of a file that was not there before; the umask narrows it.
const NEW_FILE_MODE: u32 = 0o644;

/// The mode of a file that only its owner may read, whatever was there before.
const PRIVATE_MODE: u32 = 0o600;

/// The bits of a mode that a replaced file hands on.
const PERMISSION_BITS: u32 = 0o7777;

/// What a write does to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the write fails with `AlreadyExists`.
    Keep,
    /// It is replaced, and its mode is handed on.
    Replace,
}

/// A file or folder that could not be written. What was there before is still there, untouched.
#[derive(Debug, thiserror::Error)]
#[error("failed to write `{}`", path.display())]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl WriteError {
    /// Returns what to do about it, where that is known, as a full sentence.
    pub fn cure(&self) -> Option<String> {
        let folder = folder_of(&self.path).display();
        match self.source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Some(format!("Make room on the disk that holds `{folder}`, then run the command again."))
            }
            ErrorKind::PermissionDenied => {
                Some(format!("Whoever runs the command needs the right to write in `{folder}`."))
            }
            ErrorKind::ReadOnlyFilesystem => Some(format!(
                "`{folder}` is mounted read-only: mount it writable, or run the command elsewhere."
            )),
            _ => None,
        }
    }
}

/// Writes a file whole: beside its place first, then renamed, each brought to the disk.
///
/// `path` is no symbolic link: a link would be replaced, not followed.
///
/// # Errors
/// The file could not be written; nothing of it is left behind.
pub fn write_whole(path: &Path, content: &[u8], existing: Existing) -> Result<(), WriteError> {
    let mode = match existing {
        Existing::Keep => Ok(None),
        Existing::Replace => mode_of(path),
    };
    let written = mode.and_then(|mode| put(path, content, existing, NEW_FILE_MODE, mode));
    written.map_err(|source| WriteError { path: path.to_owned(), source })
}

/// Writes a file that only its owner may read, whole; one that is replaced does not hand its mode on.
///
/// # Errors
/// The file could not be written; nothing of it is left behind.
pub fn write_private(path: &Path, content: &[u8], existing: Existing) -> Result<(), WriteError> {
    put(path, content, existing, PRIVATE_MODE, None)
        .map_err(|source| WriteError { path: path.to_owned(), source })
}

/// Makes a folder and those above it, each brought to the disk.
///
/// # Errors
/// A folder could not be made.
pub fn make_folder(path: &Path) -> Result<(), WriteError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    make_folder(parent)?;
    let made = match fs::create_dir(path) {
        // Someone else made it in between.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| sync_folder(parent)),
    };
    made.map_err(|source| WriteError { path: path.to_owned(), source })
}

fn put(path: &Path, content: &[u8], existing: Existing, new: u32, mode: Option<u32>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut beside = begin_beside(path, folder, new)?;
    if let Some(mode) = mode {
        beside.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    beside.write_all(content)?;
    beside.as_file().sync_all()?;
    // On an error the temporary file goes with its handle.
    match existing {
        Existing::Keep => beside.persist_noclobber(path)?,
        Existing::Replace => beside.persist(path)?,
    };
    sync_folder(folder)
}

/// Begins the temporary file. Its name starts with a dot, so Terraform never reads it.
fn begin_beside(path: &Path, folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
}

fn mode_of(path: &Path) -> io::Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.permissions().mode() & PERMISSION_BITS)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Brings a folder's entries to the disk, or a rename may be lost with the power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems have nothing to synchronize here.
        // <https://man7.org/linux/man-pages/man2/fsync.2.html>
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::thread;

    use tempfile::TempDir;

    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_written_file_is_whole_and_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backend.tf");

        for content in ["", "one", "a longer one", "two"] {
            write_whole(&path, content.as_bytes(), Existing::Replace).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }

        assert_eq!(names_in(folder.path()), ["backend.tf"]);
    }

    #[test]
    fn keep_never_replaces() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backend.tf");
        fs::write(&path, "by hand").unwrap();

        let error = write_whole(&path, b"ours", Existing::Keep).unwrap_err();

        assert_eq!(error.source.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "by hand");
        assert_eq!(names_in(folder.path()), ["backend.tf"]);
    }

    #[test]
    fn a_new_file_has_the_mode_that_the_umask_leaves() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ours");
        let other = folder.path().join("other");
        fs::write(&other, "").unwrap();

        write_whole(&path, b"", Existing::Keep).unwrap();

        // A file that anyone makes has 0666 less the umask.
        let expected = other.metadata().unwrap().mode() & NEW_FILE_MODE;
        assert_eq!(path.metadata().unwrap().mode() & PERMISSION_BITS, expected);
    }

    #[test]
    fn a_private_file_is_private_even_where_it_replaces_an_open_one() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state");
        fs::write(&path, "open").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();

        write_private(&path, b"secret", Existing::Replace).unwrap();

        assert_eq!(path.metadata().unwrap().mode() & PERMISSION_BITS, PRIVATE_MODE);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert!(write_private(&path, b"another", Existing::Keep).is_err());
    }

    #[test]
    fn a_replaced_file_keeps_its_mode() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backend.tf");
        for mode in [0o600, 0o640, 0o664, 0o444] {
            fs::write(&path, "before").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();

            write_whole(&path, b"after", Existing::Replace).unwrap();

            assert_eq!(path.metadata().unwrap().mode() & PERMISSION_BITS, mode);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let folder = TempDir::new().unwrap();
        let occupied = folder.path().join("backend.tf");
        fs::create_dir(&occupied).unwrap();

        let error = write_whole(&occupied, b"ours", Existing::Replace).unwrap_err();

        assert_eq!(error.to_string(), format!("failed to write `{}`", occupied.display()));
        assert_eq!(names_in(folder.path()), ["backend.tf"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_reason_to_write_elsewhere() {
        let folder = TempDir::new().unwrap();

        let error = write_whole(&folder.path().join("a/b"), b"", Existing::Replace).unwrap_err();

        assert_eq!(error.source.kind(), ErrorKind::NotFound);
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn folders_are_made_from_the_top_and_twice_is_once() {
        let folder = TempDir::new().unwrap();
        let deep = folder.path().join("environments/prod/network");

        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();

        assert!(deep.is_dir());
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_an_error_that_names_it() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("environments");
        fs::write(&file, "").unwrap();

        let error = make_folder(&file).unwrap_err();

        assert_eq!(error.path, file);
        assert_eq!(error.source.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn writers_at_once_leave_one_whole_file() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backend.tf");
        let contents: Vec<String> = ('a'..='h').map(|letter| letter.to_string().repeat(20_000)).collect();
        write_whole(&path, contents[0].as_bytes(), Existing::Keep).unwrap();

        thread::scope(|scope| {
            let writers = contents.iter().map(|content| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        write_whole(&path, content.as_bytes(), Existing::Replace).unwrap();
                    }
                })
            });
            let writers: Vec<_> = writers.collect();
            while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
                assert!(contents.contains(&fs::read_to_string(&path).unwrap()));
            }
        });

        assert_eq!(names_in(folder.path()), ["backend.tf"]);
    }

    #[test]
    fn every_fault_of_the_disk_has_a_cure() {
        for kind in [
            ErrorKind::StorageFull,
            ErrorKind::QuotaExceeded,
            ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFilesystem,
        ] {
            let error = WriteError { path: "dev/backend.tf".into(), source: kind.into() };
            assert!(error.cure().is_some_and(|cure| cure.contains("`dev`")), "{kind:?}");
        }
    }
}
