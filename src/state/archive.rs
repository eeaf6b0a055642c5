//! A folder of copies of states, and the manifest that says what each of them is.
//!
//! The manifest is `manifest.json`: `format` 1, and `copies`, each with the backend, the key of the state, the version's id
//! and time, its serial and lineage where it says them, its size, its SHA-256, and where in the folder it is. Copies are
//! never changed: what a later backup adds are more of them.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Beginning, StateKey, Version, when};
use crate::files::{Existing, WriteError, make_folder, write_private};
use crate::names::BackendName;

/// The name of the manifest in its folder.
const MANIFEST: &str = "manifest.json";
/// The number of the format; another one is another format.
const FORMAT: u32 = 1;
/// What stays as it is in a file's name.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'@');

/// A folder of copies.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    copies: Vec<Copy>,
}

/// A version that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The backend.
    pub backend: String,
    /// The key of the state.
    pub state: String,
    /// The id of the version.
    pub version: String,
    /// When the version was written.
    pub written: String,
    /// Its serial, where it says one.
    pub serial: Option<u64>,
    /// Its lineage, where it says one.
    pub lineage: Option<String>,
    /// How long it is.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Where in the folder it is.
    pub path: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    copies: Vec<Copy>,
}

/// Why an archive, or a copy in it, can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file can't be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is none.
    #[error("`{}` is no manifest that this version reads: {why}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A copy is not what was copied.
    #[error("the copy `{}` is damaged: its SHA-256 is not that of the manifest", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Archive {
    /// Opens the archive in a folder.
    ///
    /// # Errors
    /// There is no manifest that can be read.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(|source| ArchiveError::Read { path: path.clone(), source })?;
        let file: File = serde_json::from_slice(&text)
            .map_err(|error| ArchiveError::Manifest { path: path.clone(), why: error.to_string() })?;
        if file.format != FORMAT {
            let why = format!("its format is {}, and not {FORMAT}", file.format);
            return Err(ArchiveError::Manifest { path, why });
        }
        Ok(Self { folder: folder.to_owned(), copies: file.copies })
    }

    /// Opens the archive in a folder, or begins one.
    ///
    /// # Errors
    /// There is a manifest, and it can't be read.
    pub fn open_or_begin(folder: &Path) -> Result<Self, ArchiveError> {
        match Self::open(folder) {
            Err(ArchiveError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Self { folder: folder.to_owned(), copies: Vec::new() })
            }
            opened => opened,
        }
    }

    /// Returns the copies, in the order in which they were made.
    pub fn copies(&self) -> &[Copy] {
        &self.copies
    }

    /// Returns the copy of a state's newest version.
    pub fn newest(&self, backend: &BackendName, state: &StateKey) -> Option<&Copy> {
        let copies = self.copies.iter().filter(|copy| copy.is_of(backend, state));
        copies.max_by_key(|copy| (copy.written_at(), copy.serial))
    }

    /// Returns whether a version is there.
    pub fn has(&self, backend: &BackendName, state: &StateKey, version: &str) -> bool {
        let mut copies = self.copies.iter().filter(|copy| copy.is_of(backend, state));
        copies.any(|copy| copy.version == version && self.folder.join(&copy.path).is_file())
    }

    /// Returns where a copy is.
    pub fn path(&self, copy: &Copy) -> PathBuf {
        self.folder.join(&copy.path)
    }

    /// Reads a copy, and holds it against the manifest.
    ///
    /// # Errors
    /// It can't be read, or is not what was copied.
    pub fn read(&self, copy: &Copy) -> Result<Vec<u8>, ArchiveError> {
        let path = self.path(copy);
        let bytes = fs::read(&path).map_err(|source| ArchiveError::Read { path: path.clone(), source })?;
        if sha256(&bytes) == copy.sha256 { Ok(bytes) } else { Err(ArchiveError::Damaged { path }) }
    }

    /// Adds a copy, readable for nobody else; the manifest follows with [`Archive::save`].
    ///
    /// # Errors
    /// It could not be written.
    pub fn add(
        &mut self,
        backend: &BackendName,
        state: &StateKey,
        version: &Version,
        beginning: Beginning,
        bytes: &[u8],
    ) -> Result<PathBuf, ArchiveError> {
        let relative = relative(backend, state, &version.id);
        let path = self.folder.join(&relative);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        write_private(&path, bytes, Existing::Replace)?;
        self.copies.retain(|copy| !(copy.is_of(backend, state) && copy.version == version.id));
        self.copies.push(Copy {
            backend: backend.to_string(),
            state: state.to_string(),
            version: version.id.clone(),
            written: when::rfc3339(version.at),
            serial: beginning.serial,
            lineage: beginning.lineage,
            size: bytes.len().try_into().unwrap_or(u64::MAX),
            sha256: sha256(bytes),
            path: relative,
        });
        Ok(path)
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// It could not be written.
    pub fn save(&self) -> Result<(), ArchiveError> {
        let path = self.folder.join(MANIFEST);
        let file = File { format: FORMAT, copies: self.copies.clone() };
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|error| ArchiveError::Manifest { path: path.clone(), why: error.to_string() })?;
        make_folder(&self.folder)?;
        Ok(write_private(&path, &text, Existing::Replace)?)
    }
}

impl Copy {
    /// Returns when the version was written.
    pub fn written_at(&self) -> Option<SystemTime> {
        when::parse(&self.written)
    }

    fn is_of(&self, backend: &BackendName, state: &StateKey) -> bool {
        self.backend == backend.as_str() && self.state == state.as_str()
    }
}

/// Returns where in an archive a version lies: keys come from a bucket, and must not lead out of the folder.
fn relative(backend: &BackendName, state: &StateKey, version: &str) -> String {
    let mut path = backend.to_string();
    for segment in state.as_str().split('/').chain([version]) {
        path.push('/');
        if segment.bytes().all(|byte| byte == b'.') {
            path.push_str("%2E");
            path.push_str(&segment.replace('.', "%2E"));
        } else {
            path.extend(utf8_percent_encode(segment, PLAIN));
        }
    }
    path.push_str(".tfstate");
    path
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string can't fail.
        let _written = write!(text, "{byte:02x}").is_ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn version(id: &str, second: u64) -> Version {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
        Version { id: id.to_owned(), at, size: Some(1), is_newest: false }
    }

    fn backend() -> BackendName {
        "main".parse().unwrap()
    }

    #[test]
    fn what_is_added_is_found_again_and_private() {
        let folder = tempfile::TempDir::new().unwrap();
        let folder = folder.path().join("backup");
        let state = StateKey::new("dev/env:/w/dev/main.tfstate");
        let mut archive = Archive::open_or_begin(&folder).unwrap();
        archive.add(&backend(), &state, &version("v1", 1), Beginning::default(), b"one").unwrap();
        let path = archive.add(&backend(), &state, &version("v2", 2), Beginning::default(), b"two").unwrap();
        archive.save().unwrap();

        let archive = Archive::open(&folder).unwrap();

        let newest = archive.newest(&backend(), &state).unwrap();
        assert_eq!((newest.version.as_str(), archive.read(newest).unwrap()), ("v2", b"two".to_vec()));
        assert!(archive.has(&backend(), &state, "v1") && !archive.has(&backend(), &state, "v3"));
        for path in [path, folder.join(MANIFEST)] {
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::remove_file(archive.path(&archive.copies()[0])).unwrap();
        assert!(!archive.has(&backend(), &state, "v1"));
    }

    #[test]
    fn a_damaged_copy_is_said() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut archive = Archive::open_or_begin(folder.path()).unwrap();
        let state = StateKey::new("dev/main.tfstate");
        let path = archive.add(&backend(), &state, &version("v", 1), Beginning::default(), b"one").unwrap();
        fs::write(&path, "two").unwrap();

        let copy = archive.newest(&backend(), &state).unwrap();

        assert!(matches!(archive.read(copy), Err(ArchiveError::Damaged { .. })));
    }

    #[test]
    fn no_key_leads_out_of_the_folder() {
        for key in ["../../etc/x.tfstate", "/etc/x.tfstate", "a/./../b.tfstate", "dev/\u{0}\n.tfstate"] {
            let path = relative(&backend(), &StateKey::new(key), "..");
            assert!(path.starts_with("main/"), "{path}");
            assert!(path.split('/').all(|segment| segment != ".." && segment != "."), "{path}");
            assert!(!path.contains(char::is_control), "{path}");
        }
    }

    #[test]
    fn a_manifest_of_another_format_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join(MANIFEST), r#"{"format": 2, "copies": []}"#).unwrap();

        assert!(matches!(Archive::open_or_begin(folder.path()), Err(ArchiveError::Manifest { .. })));
    }
}
