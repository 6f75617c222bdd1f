//! Files and directories, durably.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::StoreError;

/// Creates a directory that only its owner can enter, parents included, and makes its name durable.
pub(crate) fn create_dir(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(StoreError::io(format!("create the directory {}", path.display())))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        Some(_) | None => sync_dir(Path::new(".")),
    }
}

/// Takes a file, or a directory, away from all but its owner.
pub(crate) fn make_private(path: &Path) -> Result<(), StoreError> {
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(StoreError::io(format!("change who can read {}", path.display())))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(StoreError::io(format!("sync the directory {}", path.display())))
}

/// Replaces a file's content durably: readers find the old content or the new one, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let aside = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(StoreError::io(format!("write {}", path.display())))?;
    sync_parent(path)
}

/// Makes an empty file durably; one that is there stays.
pub(crate) fn mark(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map_err(StoreError::io(format!("write {}", path.display())))?;
    sync_parent(path)
}

/// Removes a file durably; a file that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(format!("remove {}", path.display()))(error)),
        Ok(()) => sync_parent(path),
    }
}

/// Makes the name of a file durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Occupies the first so many bytes of an empty file on the disk, as zeros.
pub(crate) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP) => fill(file, bytes),
        allocated => Ok(allocated?),
    }
}

/// Occupies space on file systems that cannot reserve it.
pub(crate) fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1024 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        file.write_all(zeros.get(..now as usize).unwrap_or(&zeros))?;
        left -= now;
    }
    Ok(())
}

/// Returns how many bytes an unprivileged process can still write to the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path).map_err(|error| {
        StoreError::io(format!("ask for the free space at {}", path.display()))(error.into())
    })?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns how many bytes the files directly in `dir` occupy on the disk.
pub(crate) fn used_bytes(dir: &Path) -> Result<u64, StoreError> {
    let sum = || {
        let mut bytes = 0;
        for entry in fs::read_dir(dir)? {
            // The unit is 512 bytes whatever the file system's block size. Files come and go meanwhile.
            bytes += entry?.metadata().map_or(0, |file| file.blocks() * 512);
        }
        Ok(bytes)
    };
    sum().map_err(StoreError::io(format!("measure {}", dir.display())))
}
