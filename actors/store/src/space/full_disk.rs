//! A disk that fills up, for real: a small file system in memory.
//!
//! Needs the right to mount (root). Without it the test fails; it never passes without having run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{
    Backend, Batch, DataDir, Epoch, Key, Room, SledBackend, SledOptions, SpaceGuard, StoreError,
};

const MIB: u64 = 1024 * 1024;

/// A file system of its own, unmounted when dropped.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(mib: u64) -> SmallDisk {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "perennial-test"])
            .arg(dir.path())
            .status()
            .expect("mount must be installed");
        assert!(status.success(), "this test mounts a tmpfs and has to run as root: {status}");
        SmallDisk { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.dir.path()).status();
        if !std::thread::panicking() {
            assert!(status.unwrap().success(), "the test's file system must unmount");
        }
    }
}

fn key(number: u32) -> Key {
    Key::row("t", &number.to_be_bytes())
}

fn put(number: u32) -> Batch {
    let mut batch = Batch::new();
    // Not compressible, and no two alike.
    let value = (0..50_000u32).map(|n| (n.wrapping_mul(0x9e37_79b9) ^ number) as u8).collect();
    batch.put(key(number), value);
    batch
}

/// Commits rows until the store or the guard says stop, and returns how many went.
fn fill(store: &SledBackend, epoch: Epoch, guard: &SpaceGuard) -> (u32, Room) {
    for number in 0.. {
        match guard.check().unwrap() {
            Room::Ample => store.commit(epoch, &put(number)).unwrap(),
            room @ (Room::Low | Room::Full) => return (number, room),
        }
    }
    unreachable!("the disk is finite")
}

fn foreign_file(disk: &Path) {
    // Another program takes what is left, down to the last block.
    let mut file = std::fs::File::create(disk.join("foreign")).unwrap();
    let error = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn work_that_frees_space_commits_on_a_full_disk_once_the_reserve_is_given_up() {
    let disk = SmallDisk::mount(192);
    let data = DataDir::open(&disk.data()).unwrap();
    let guard = SpaceGuard::new(data.path(), 32 * MIB);
    assert_eq!(guard.check().unwrap(), Room::Ample);
    let store = SledBackend::open(&data.store_dir(), SledOptions::default()).unwrap();
    let epoch = store.claim().unwrap();

    let (stored, room) = fill(&store, epoch, &guard);
    assert_eq!(room, Room::Low);
    assert!(stored > 100, "only {stored} rows went");

    // Nothing is under way while the disk fills up faster than can be looked at.
    store.checkpoint().unwrap();
    foreign_file(disk.dir.path());
    let error = store.commit(epoch, &put(stored)).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    let error = DataDir::open(&disk.dir.path().join("other")).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");

    assert_eq!(guard.check().unwrap(), Room::Full);
    assert!(!data.ballast_path().exists());
    for number in 0..stored {
        let mut batch = Batch::new();
        batch.delete(key(number));
        store.commit(epoch, &batch).unwrap();
    }
    assert_eq!(store.get(key(0).as_ref()).unwrap(), None);

    std::fs::remove_file(disk.dir.path().join("foreign")).unwrap();
    store.close().unwrap();
    drop(store);
    let store = SledBackend::open(&data.store_dir(), SledOptions::default()).unwrap();
    let epoch = store.claim().unwrap();
    assert_eq!(store.get(key(stored - 1).as_ref()).unwrap(), None);
    store.commit(epoch, &put(1)).unwrap();
}

#[test]
fn a_data_directory_opens_on_a_full_disk_by_giving_up_its_reserve() {
    let disk = SmallDisk::mount(48);
    let data = DataDir::open(&disk.data()).unwrap();
    assert_eq!(SpaceGuard::new(data.path(), 8 * MIB).check().unwrap(), Room::Ample);
    drop(data);
    foreign_file(disk.dir.path());
    let data = DataDir::open(&disk.data()).unwrap();
    assert!(data.was_unclean());
    assert!(!data.ballast_path().exists());
    assert_eq!(SpaceGuard::new(data.path(), 8 * MIB).check().unwrap(), Room::Full);
}
