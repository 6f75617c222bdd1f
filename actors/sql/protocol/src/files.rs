//! The files of a table.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Table;

/// How rows are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Values with commas between them, a line each, and a line of names before.
    Csv,
}

/// A file of a table as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListedFile {
    /// Where it really is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// When it was last written: seconds since 1970, and nanoseconds within.
    pub modified: (i64, i64),
    /// Its number in its file system: another one if it was replaced.
    pub inode: u64,
}

/// The files of a table as they are now, by their paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// How all of them are written.
    pub format: Format,
    /// At least one.
    pub files: Vec<ListedFile>,
}

/// Why the files of a table cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There are none.
    #[error("table `{0}` has no file: nothing is at {1}")]
    None(String, PathBuf),
    /// They cannot be looked at.
    #[error("table `{0}`: {1} cannot be read: {2}")]
    Unreadable(String, PathBuf, io::Error),
    /// A symbolic link leads out of the directory.
    #[error("table `{0}`: {1} leads out of the directory, to {2}")]
    Outside(String, PathBuf, PathBuf),
    /// What they end in says not how they are written, or not the same of all.
    #[error("table `{0}`: {1} must end in .parquet or in .csv, as all files of a table")]
    Format(String, PathBuf),
    /// The name would be taken for a pattern.
    #[error("table `{0}`: {1} has a name with `*`, `?`, `[` or what is not text; rename it")]
    Name(String, PathBuf),
}

/// Looks at the files of `table`. Those in a folder that begin with a dot, or end otherwise than in `.parquet` or
/// `.csv`, are not of the table; folders within are not looked into.
///
/// # Errors
/// There are none, one of them is outside `directory` or cannot be read, or they are of two formats.
pub fn list(directory: &Path, table: &Table) -> Result<Listed, FilesError> {
    let unreadable =
        |path: &Path, error| FilesError::Unreadable(table.name.clone(), path.to_owned(), error);
    let root = directory.canonicalize().map_err(|error| unreadable(directory, error))?;
    let mut files = Vec::new();
    let mut format = None;
    for path in candidates(&root, table)? {
        let real = path.canonicalize().map_err(|error| unreadable(&path, error))?;
        if !real.starts_with(&root) {
            return Err(FilesError::Outside(table.name.clone(), path, real));
        }
        let own = format_of(&real).filter(|own| format.is_none_or(|format| format == *own));
        format = Some(own.ok_or_else(|| FilesError::Format(table.name.clone(), path.clone()))?);
        if real.to_str().is_none_or(|text| text.contains(['*', '?', '['])) {
            return Err(FilesError::Name(table.name.clone(), real));
        }
        let about = fs::metadata(&real).map_err(|error| unreadable(&path, error))?;
        let modified = (about.mtime(), about.mtime_nsec());
        files.push(ListedFile { path: real, bytes: about.len(), modified, inode: about.ino() });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    let none = || FilesError::None(table.name.clone(), root.join(&table.path));
    Ok(Listed { format: format.ok_or_else(none)?, files })
}

/// Where the files of `table` seem to be.
fn candidates(root: &Path, table: &Table) -> Result<Vec<PathBuf>, FilesError> {
    let path = root.join(&table.path);
    let (folder, pattern) = match table.path.rsplit_once('/').unwrap_or(("", &table.path)) {
        (folders, last) if last.contains('*') => (root.join(folders), last),
        _ if path.is_dir() => (path, "*"),
        _ => return Ok(if path.exists() { vec![path] } else { Vec::new() }),
    };
    let unreadable = |error| FilesError::Unreadable(table.name.clone(), folder.clone(), error);
    // A folder that is a link is looked at as what it leads to.
    let real = folder.canonicalize().map_err(unreadable)?;
    if !real.starts_with(root) {
        return Err(FilesError::Outside(table.name.clone(), folder, real));
    }
    let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
    let matches = |name: &str| {
        name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(&real).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let meant = matches(&name) && !name.starts_with('.') && format_of(&path).is_some();
        if meant && !path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "parquet" => Some(Format::Parquet),
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn table(path: &str) -> Table {
        Table { name: "t".into(), path: path.into(), ..Table::default() }
    }

    fn names(listed: &Listed) -> Vec<String> {
        let name =
            |file: &'_ ListedFile| file.path.file_name().unwrap().to_str().unwrap().to_owned();
        listed.files.iter().map(name).collect()
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a\n1\n").unwrap();
        }
        folder
    }

    #[test]
    fn a_table_is_a_file_a_folder_or_several_files_by_a_pattern() {
        let folder =
            folder(&["a.csv", "s/x_1.csv", "s/x_2.csv", "s/y.csv", "s/.x_3.csv", "s/x.md"]);
        let listed = |path: &str| list(folder.path(), &table(path)).unwrap();
        assert_eq!(names(&listed("a.csv")), ["a.csv"]);
        assert_eq!(names(&listed("s")), ["x_1.csv", "x_2.csv", "y.csv"]);
        assert_eq!(names(&listed("s/x_*.csv")), ["x_1.csv", "x_2.csv"]);
    }

    #[test]
    fn a_link_that_leads_out_of_the_directory_is_refused_and_one_within_is_followed() {
        let (inside, outside) = (folder(&["d/a.csv"]), folder(&["secret.csv"]));
        let root = inside.path();
        symlink(outside.path().join("secret.csv"), root.join("d/b.csv")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink(root.join("d/a.csv"), root.join("within.csv")).unwrap();
        for path in ["d/b.csv", "d", "d/*.csv", "out", "out/*.csv", "out/secret.csv"] {
            let error = list(root, &table(path)).unwrap_err();
            assert!(matches!(error, FilesError::Outside(..)), "{path}: {error}");
        }
        assert_eq!(names(&list(root, &table("within.csv")).unwrap()), ["a.csv"]);
    }

    #[test]
    fn files_of_two_formats_no_file_and_odd_names_are_told() {
        let folder = folder(&["m/a.csv", "m/b.parquet", "odd[1].csv", "a.txt"]);
        let error = |path: &str| list(folder.path(), &table(path)).unwrap_err();
        assert!(matches!(error("m"), FilesError::Format(..)));
        assert!(matches!(error("a.txt"), FilesError::Format(..)));
        assert!(matches!(error("none.csv"), FilesError::None(..)));
        assert!(matches!(error("odd[1].csv"), FilesError::Name(..)));
    }

    #[test]
    fn a_file_that_was_written_anew_is_told_from_what_it_was() {
        let folder = folder(&["a.csv"]);
        let before = list(folder.path(), &table("a.csv")).unwrap();
        assert_eq!(list(folder.path(), &table("a.csv")).unwrap(), before);
        // Another file of the same name and length.
        fs::write(folder.path().join("new"), "a\n2\n").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("a.csv")).unwrap();
        assert_ne!(list(folder.path(), &table("a.csv")).unwrap(), before);
    }
}
