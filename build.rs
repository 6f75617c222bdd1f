//! Has the program's relocations packed, where the machine that builds it can load such a program.
//!
//! A position-independent program of this size has tens of thousands of them, of 24 bytes each, and all
//! are read at every start: over a megabyte of memory that stays with the process. Packed they take a few
//! thousandths of that. The C library understands them from version 2.36 on, and a linker that does not
//! only says so.
#![expect(clippy::disallowed_methods, reason = "a build script is told by the environment")]

use std::env;
use std::process::Command;

/// The first GNU C library that loads packed relocations.
const SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let name = |name: &str| env::var(name).unwrap_or_default();
    let native = name("HOST") == name("TARGET");
    if native && name("TARGET").ends_with("linux-gnu") && glibc().is_some_and(|at| at >= SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's C library: `getconf` prints `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, rest) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
