//! Brings rendered files to their places, and keeps away from what is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::Rendered;
use super::template::is_marked;
use crate::files::{Existing, WriteError, make_folder, write_whole};

/// What becomes of a file that was written by hand where a rendered one goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHand {
    /// It stays, and the rendered one is refused.
    Keep,
    /// It is replaced.
    Replace,
}

/// What there is to do about rendered files, and what is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilePlan {
    /// The files, in the order in which they were rendered.
    pub changes: Vec<FileChange>,
    /// The files that can't be written.
    pub refusals: Vec<FileRefusal>,
}

/// A rendered file, and what there is to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Where it goes, relative to the configuration's folder.
    pub path: PathBuf,
    /// What there is to do.
    pub action: FileAction,
    /// What it shall say.
    pub content: String,
    /// What it says now, if it is there.
    found: Option<Vec<u8>>,
    /// Where it really goes, links followed.
    target: PathBuf,
}

/// What there is to do about a rendered file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAction {
    /// It is not there.
    Create,
    /// It says something else.
    Update,
    /// It names the same key otherwise, by its alias or its ARN, and else says the same. It may stay.
    Respell,
    /// It is as it should be.
    Unchanged,
}

/// A rendered file that can't be written, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {reason}", path.display())]
pub struct FileRefusal {
    /// Where it would go, relative to the configuration's folder.
    pub path: PathBuf,
    /// Why it can't.
    pub reason: Reason,
}

/// Why a rendered file can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A file is there that lacks our header.
    #[error("was not made by underpin")]
    Foreign,
    /// It, or a folder on the way to it, lies outside the project.
    #[error("lies outside the project, at `{}`", target.display())]
    Outside {
        /// Where it really is.
        target: PathBuf,
    },
    /// It, or a folder on the way to it, is a link to nothing.
    #[error("is, or lies behind, a link to nothing")]
    Dangling,
    /// A folder, a socket or the like has its name.
    #[error("is there, and is no file")]
    NotAFile,
    /// Links lead it to the same place as another.
    #[error("is the same file as `{}`", other.display())]
    SharedWith {
        /// The other.
        other: PathBuf,
    },
}

/// Why files can't be looked at or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file or folder can't be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no longer what it was when it was looked at.
    #[error("`{}` was changed by someone else in the meantime", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file can't be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl FileChange {
    /// Returns whether the file is not what it should be. The same key by another name is the same.
    pub fn is_difference(&self) -> bool {
        matches!(self.action, FileAction::Create | FileAction::Update)
    }
}

/// Compares rendered files with those that are there. Writes nothing.
///
/// Links are followed within the project, `root`, since someone put them there on purpose; never out of it.
///
/// # Errors
/// A file or folder that is there can't be read.
pub fn plan_files(root: &Path, rendered: &[Rendered], by_hand: ByHand) -> Result<FilePlan, FileError> {
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let root = root.canonicalize().map_err(|source| FileError::Read { path: root.to_owned(), source })?;
    let mut plan = FilePlan::default();
    let mut taken: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    for file in rendered {
        let unreadable = |source| FileError::Read { path: file.path.clone(), source };
        let found = find(&root, &file.path).map_err(unreadable)?;
        let checked = found.and_then(|found| match taken.insert(found.target.clone(), &file.path) {
            Some(other) => Err(Reason::SharedWith { other: other.to_owned() }),
            None if by_hand == ByHand::Keep && found.is_foreign() => Err(Reason::Foreign),
            None => Ok(found),
        });
        match checked {
            Ok(found) => plan.changes.push(compare(file, found)),
            Err(reason) => plan.refusals.push(FileRefusal { path: file.path.clone(), reason }),
        }
    }
    Ok(plan)
}

/// Writes a file, where there is something to do about it.
///
/// Someone may have written it since it was looked at: the same, which is as good, or something else, which stays.
///
/// # Errors
/// The file can't be written, or is not what it was. It is whole either way.
pub fn write(change: &FileChange) -> Result<(), FileError> {
    let FileChange { path, action, content, found, target } = change;
    if *action == FileAction::Unchanged {
        return Ok(());
    }
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
    }
    let read_again = || read(target).map_err(|source| FileError::Read { path: path.clone(), source });
    let is_written = |now: &Option<Vec<u8>>| now.as_deref() == Some(content.as_bytes());
    let now = read_again()?;
    if is_written(&now) {
        return Ok(());
    }
    if now != *found {
        return Err(FileError::Changed { path: path.clone() });
    }
    let existing = if found.is_some() { Existing::Replace } else { Existing::Keep };
    match write_whole(target, content.as_bytes(), existing) {
        Err(error) if error.source.kind() == ErrorKind::AlreadyExists => {
            if is_written(&read_again()?) {
                Ok(())
            } else {
                Err(FileError::Changed { path: path.clone() })
            }
        }
        written => Ok(written?),
    }
}

/// What is at a file's place.
struct Found {
    target: PathBuf,
    content: Option<Vec<u8>>,
}

impl Found {
    fn is_foreign(&self) -> bool {
        self.content.as_ref().is_some_and(|content| !is_marked(&String::from_utf8_lossy(content)))
    }
}

fn find(root: &Path, path: &Path) -> io::Result<Result<Found, Reason>> {
    let target = match follow(root, path)? {
        Ok(target) => target,
        Err(reason) => return Ok(Err(reason)),
    };
    match fs::metadata(&target) {
        Ok(metadata) if !metadata.is_file() => return Ok(Err(Reason::NotAFile)),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let content = read(&target)?;
    Ok(Ok(Found { target, content }))
}

/// Returns where a path really leads, whether it is there or not yet.
fn follow(root: &Path, path: &Path) -> io::Result<Result<PathBuf, Reason>> {
    let mut target = root.to_owned();
    for component in path.components() {
        match component {
            Component::CurDir => continue,
            Component::ParentDir => _ = target.pop(),
            Component::Normal(name) => target.push(name),
            Component::RootDir | Component::Prefix(_) => target.push(component),
        }
        match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => match target.canonicalize() {
                Ok(real) => target = real,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(Reason::Dangling)),
                Err(error) => return Err(error),
            },
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if !target.starts_with(root) {
            return Ok(Err(Reason::Outside { target }));
        }
    }
    Ok(Ok(target))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn compare(file: &Rendered, found: Found) -> FileChange {
    let Rendered { path, content, key_references, .. } = file;
    let action = match found.content.as_deref().map(String::from_utf8_lossy) {
        None => FileAction::Create,
        Some(now) if now == content.as_str() => FileAction::Unchanged,
        Some(now) if equal_but_for_key(&now, content, key_references) => FileAction::Respell,
        Some(_) => FileAction::Update,
    };
    let Found { target, content: found } = found;
    FileChange { path: path.clone(), action, content: content.clone(), found, target }
}

/// Returns whether two files say the same once all names of one key count as one.
fn equal_but_for_key(one: &str, other: &str, key_references: &BTreeSet<String>) -> bool {
    let unnamed = |text: &str| {
        key_references.iter().fold(text.to_owned(), |text, key| text.replace(&format!("\"{key}\""), "\"\""))
    };
    unnamed(one) == unnamed(other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use tempfile::TempDir;

    use super::*;
    use crate::config::{Engine, LockMode};
    use crate::render::tests::{KEY_ARN, rendered};

    const PATH: &str = "environments/dev/backend.tf";

    /// A project of its own, in a folder with something beside it.
    struct Project {
        folder: TempDir,
    }

    impl Project {
        fn new() -> Self {
            let project = Self { folder: TempDir::new().unwrap() };
            fs::create_dir_all(project.root()).unwrap();
            fs::create_dir_all(project.folder.path().join("elsewhere")).unwrap();
            project
        }

        fn root(&self) -> PathBuf {
            self.folder.path().join("project")
        }

        fn path(&self, path: &str) -> PathBuf {
            self.root().join(path)
        }

        fn put(&self, path: &str, content: &str) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn link(&self, path: &str, target: &str) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.path(path)).unwrap()
        }

        fn plan(&self, file: &Rendered, by_hand: ByHand) -> FilePlan {
            plan_files(&self.root(), std::slice::from_ref(file), by_hand).unwrap()
        }

        /// Plans one file, which is not refused.
        fn change(&self, file: &Rendered) -> FileChange {
            let FilePlan { mut changes, refusals } = self.plan(file, ByHand::Keep);
            assert_eq!(refusals, []);
            changes.remove(0)
        }

        /// Plans one file, which is refused.
        fn refusal(&self, file: &Rendered, by_hand: ByHand) -> Reason {
            let FilePlan { changes, mut refusals } = self.plan(file, by_hand);
            assert_eq!(changes, []);
            refusals.remove(0).reason
        }
    }

    fn online() -> Rendered {
        rendered(LockMode::DynamoDb, Engine::Terraform, Some(KEY_ARN))
    }

    fn offline() -> Rendered {
        rendered(LockMode::DynamoDb, Engine::Terraform, None)
    }

    #[test]
    fn a_written_file_is_unchanged_from_then_on() {
        let project = Project::new();
        let file = online();

        let change = project.change(&file);
        assert_eq!(change.action, FileAction::Create);
        assert!(!project.path("environments").exists(), "planning writes nothing");
        write(&change).unwrap();

        assert_eq!(project.read(PATH), file.content);
        assert_eq!(project.change(&file).action, FileAction::Unchanged);
        assert_eq!(fs::read_dir(project.path("environments/dev")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_ours_that_differs_is_updated() {
        let project = Project::new();
        project.put(PATH, &rendered(LockMode::Both, Engine::Terraform, Some(KEY_ARN)).content);
        project.put("environments/dev/main.tf", "# By hand.\n");
        let file = online();

        let change = project.change(&file);
        assert_eq!((change.action, change.is_difference()), (FileAction::Update, true));
        write(&change).unwrap();

        assert_eq!(project.read(PATH), file.content);
        assert_eq!(project.read("environments/dev/main.tf"), "# By hand.\n");
    }

    #[test]
    fn an_unchanged_file_is_not_written() {
        let project = Project::new();
        let file = online();
        project.put(PATH, &file.content);
        let before = fs::metadata(project.path(PATH)).unwrap().modified().unwrap();

        write(&project.change(&file)).unwrap();

        assert_eq!(fs::metadata(project.path(PATH)).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn a_file_without_our_header_stays_unless_forced() {
        for by_hand in ["terraform {}\n", "", "\n# Made by underpin\n", "\u{feff}x"] {
            let project = Project::new();
            project.put(PATH, by_hand);
            let file = online();

            assert_eq!(project.refusal(&file, ByHand::Keep), Reason::Foreign);
            assert_eq!(project.read(PATH), by_hand);

            let forced = project.plan(&file, ByHand::Replace);
            assert_eq!(forced.changes[0].action, FileAction::Update);
            write(&forced.changes[0]).unwrap();
            assert_eq!(project.read(PATH), file.content);
        }
    }

    #[test]
    fn alias_and_arn_of_the_same_key_are_no_difference() {
        let project = Project::new();
        project.put(PATH, &offline().content);

        let change = project.change(&online());
        assert_eq!((change.action, change.is_difference()), (FileAction::Respell, false));

        write(&change).unwrap();
        assert_eq!(project.read(PATH), online().content);
    }

    #[test]
    fn another_key_and_another_setting_are_differences() {
        let mut other_key = offline();
        other_key.content = other_key.content.replace("alias/acme-tfstate", "alias/acme-other");
        let mut other_region = offline();
        other_region.content = other_region.content.replace("\"eu-west-1\"", "\"eu-west-2\"");
        for before in [other_key, other_region] {
            let project = Project::new();
            project.put(PATH, &before.content);
            assert_eq!(project.change(&online()).action, FileAction::Update);
        }
    }

    #[test]
    fn links_are_followed_within_the_project() {
        let project = Project::new();
        let file = online();
        let old = rendered(LockMode::Both, Engine::Terraform, Some(KEY_ARN)).content;
        project.put("shared/dev/backend.tf", &old);
        project.link("environments/dev", "../shared/dev");
        write(&project.change(&file)).unwrap();
        assert_eq!(project.read("shared/dev/backend.tf"), file.content);

        let project = Project::new();
        project.put("shared/backend.tf", &old);
        project.link(PATH, "../../shared/backend.tf");
        write(&project.change(&file)).unwrap();
        assert_eq!(project.read("shared/backend.tf"), file.content);
        assert!(project.path(PATH).is_symlink());
    }

    #[test]
    fn nothing_is_written_outside_the_project() {
        let links: [(&str, &str); 5] = [
            ("environments", "../elsewhere"),
            ("environments/dev", "../../elsewhere"),
            ("environments/dev", "/tmp"),
            (PATH, "../../../elsewhere/backend.tf"),
            (PATH, "/etc/hostname"),
        ];
        for (path, target) in links {
            let project = Project::new();
            fs::write(project.folder.path().join("elsewhere/backend.tf"), "theirs").unwrap();
            project.link(path, target);

            for by_hand in [ByHand::Keep, ByHand::Replace] {
                let reason = project.refusal(&online(), by_hand);
                assert!(matches!(reason, Reason::Outside { .. }), "{path} -> {target}: {reason:?}");
            }
        }
    }

    #[test]
    fn no_path_leads_out_of_the_project() {
        let project = Project::new();
        for path in ["../elsewhere/backend.tf", "a/../../elsewhere/backend.tf", "/tmp/backend.tf"] {
            let file = Rendered { path: path.into(), ..online() };
            assert!(matches!(project.refusal(&file, ByHand::Replace), Reason::Outside { .. }), "{path}");
        }
        let file = Rendered { path: "a/../b/./backend.tf".into(), ..online() };
        write(&project.change(&file)).unwrap();
        assert!(project.path("b/backend.tf").is_file());
    }

    #[test]
    fn a_link_to_nothing_and_what_is_no_file_are_refused() {
        let project = Project::new();
        project.link(PATH, "gone.tf");
        assert_eq!(project.refusal(&online(), ByHand::Replace), Reason::Dangling);

        let project = Project::new();
        fs::create_dir_all(project.path(PATH)).unwrap();
        assert_eq!(project.refusal(&online(), ByHand::Replace), Reason::NotAFile);

        let project = Project::new();
        fs::create_dir_all(project.path("environments/dev")).unwrap();
        let _listener = UnixListener::bind(project.path(PATH)).unwrap();
        assert_eq!(project.refusal(&online(), ByHand::Replace), Reason::NotAFile);
    }

    #[test]
    fn two_files_in_one_place_are_refused() {
        let project = Project::new();
        project.put("environments/dev/main.tf", "");
        project.link("environments/prod", "dev");
        let dev = online();
        let prod = Rendered { path: "environments/prod/backend.tf".into(), ..online() };

        let plan = plan_files(&project.root(), &[dev.clone(), prod], ByHand::Keep).unwrap();

        assert_eq!(plan.changes.len(), 1);
        let refusals: Vec<String> = plan.refusals.iter().map(ToString::to_string).collect();
        assert_eq!(
            refusals,
            ["`environments/prod/backend.tf` is the same file as `environments/dev/backend.tf`"]
        );
    }

    #[test]
    fn what_someone_else_wrote_in_the_meantime_stays() {
        for (before, meanwhile) in
            [(None, "theirs"), (Some(offline().content), "theirs"), (Some(offline().content), "")]
        {
            let project = Project::new();
            if let Some(before) = &before {
                project.put(PATH, before);
            }
            let change = project.change(&online());
            project.put(PATH, meanwhile);

            let error = write(&change).unwrap_err();

            assert!(matches!(error, FileError::Changed { .. }), "{error}");
            assert_eq!(project.read(PATH), meanwhile);
        }
    }

    #[test]
    fn the_same_written_by_someone_else_is_as_good() {
        let project = Project::new();
        let file = online();
        let change = project.change(&file);
        project.put(PATH, &file.content);

        write(&change).unwrap();

        assert_eq!(project.read(PATH), file.content);
    }

    #[test]
    fn writers_at_once_all_end_well() {
        for _ in 0..20 {
            let project = Project::new();
            let file = online();
            let change = project.change(&file);

            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| write(&change).unwrap());
                }
            });

            assert_eq!(project.read(PATH), file.content);
            assert_eq!(fs::read_dir(project.path("environments/dev")).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_an_error_that_names_the_file() {
        let project = Project::new();
        project.put("environments", "");

        let error = plan_files(&project.root(), &[online()], ByHand::Keep).unwrap_err();

        assert_eq!(error.to_string(), format!("failed to read `{PATH}`"));
    }
}
