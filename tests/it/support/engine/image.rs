//! The one image of the tests: static busybox, with a link for each of its commands.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::process;
use super::Docker;

/// The image's name; two tests that import it at once leave the later one under this name.
pub(super) const NAME: &str = "perennial-test-busybox:1";

/// From Debian's busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// Imports the image unless the engine has it.
pub(super) fn provide(docker: &Docker) {
    if docker.try_call(&["image", "inspect", NAME]).is_some() {
        return;
    }
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    lay_out(root.path());
    let mut tar = Command::new("tar")
        .arg("--create")
        .arg("--directory")
        .arg(root.path())
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let archive = tar.stdout.take().expect("the output of tar is piped");
    let output = docker.command(&["import", "-", NAME]).stdin(archive).output();
    let output = output.expect("the docker client runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the test image was not imported: {errors}");
    assert!(tar.wait().expect("tar ends").success(), "tar could not read the test image");
}

fn lay_out(root: &Path) {
    let bin = root.join("bin");
    fs::create_dir_all(&bin).expect("bin can be made");
    fs::create_dir_all(root.join("tmp")).expect("tmp can be made");
    fs::copy(BUSYBOX, bin.join("busybox")).expect("busybox-static is installed by tests/run");
    for applet in process::run(Command::new(BUSYBOX).arg("--list")).lines() {
        if applet != "busybox" {
            symlink("busybox", bin.join(applet)).expect("a link can be made");
        }
    }
}
