use super::*;

const R: u64 = 1024;

#[track_caller]
fn check(before: Room, free: u64, want: Room) {
    assert_eq!(next_room(before, free, R), want);
}

#[test]
fn room_shrinks_at_the_reserve_and_ends_at_three_quarters_of_it() {
    check(Room::Ample, R, Room::Ample);
    check(Room::Ample, R - 1, Room::Low);
    check(Room::Low, R / 4 * 3, Room::Low);
    check(Room::Low, R / 4 * 3 - 1, Room::Full);
    check(Room::Ample, 0, Room::Full);
}

#[test]
fn room_comes_back_later_than_it_went() {
    check(Room::Low, 2 * R - 1, Room::Low);
    check(Room::Low, 2 * R, Room::Ample);
    check(Room::Full, 3 * R - 1, Room::Full);
    check(Room::Full, 3 * R, Room::Ample);
}

#[test]
fn the_ballast_occupies_its_size_until_released() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("ballast");
    let ballast = Ballast::new(&path, 1024 * 1024);
    assert!(!ballast.is_held());
    ballast.release().unwrap();
    ballast.restore().unwrap();
    ballast.restore().unwrap();
    assert!(ballast.is_held());
    assert!(files::used_bytes(temp.path()).unwrap() >= 1024 * 1024);
    ballast.release().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_disk_with_room_gets_its_reserve_at_the_first_look() {
    let temp = tempfile::tempdir().unwrap();
    let guard = SpaceGuard::new(temp.path(), 4096);
    assert_eq!(guard.check().unwrap(), Room::Ample);
    assert!(guard.ballast.is_held());
}

#[test]
fn filling_writes_every_byte() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    files::fill(&std::fs::File::create(&path).unwrap(), 1024 * 1024 + 5).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1024 * 1024 + 5);
}
