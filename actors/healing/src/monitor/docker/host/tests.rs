use std::fs;

use super::*;

const GIB: u64 = 1 << 30;
const DEADLINE: Duration = Duration::from_secs(5);
const SOCKET: &str = "unix:///var/run/docker.sock";

const MEMINFO: &str = "MemTotal:        4194304 kB\nMemFree:          102400 kB\n\
                       MemAvailable:     524288 kB\nSwapTotal:             0 kB\n";
const PRESSURE: &str = "some avg10=40.00 avg60=12.50 avg300=3.00 total=123456\n\
                        full avg10=9.00 avg60=8.00 avg300=1.00 total=23456\n";

fn proc(meminfo: &str, pressure: Option<&str>) -> tempfile::TempDir {
    let proc = tempfile::tempdir().unwrap();
    fs::write(proc.path().join("meminfo"), meminfo).unwrap();
    if let Some(pressure) = pressure {
        fs::create_dir(proc.path().join("pressure")).unwrap();
        fs::write(proc.path().join("pressure/memory"), pressure).unwrap();
    }
    proc
}

#[tokio::test]
async fn memory_and_stalls_are_read_as_the_kernel_writes_them() {
    for (pressure, stalled) in [(Some(PRESSURE), Some(0.125)), (None, None), (Some(""), None)] {
        let proc = proc(MEMINFO, pressure);
        let seen = memory(SOCKET, 4 * GIB, proc.path(), DEADLINE).await.unwrap();
        let expected = HostMemory { total: 4 * GIB, available: GIB / 2, stalled, largest: false };
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn an_engine_elsewhere_is_not_judged_by_the_memory_of_this_machine() {
    let proc = proc(MEMINFO, None);
    for address in ["tcp://docker.example:2375", "http://127.0.0.1:2375"] {
        let blind = memory(address, 4 * GIB, proc.path(), DEADLINE).await.unwrap_err();
        assert!(matches!(&blind, Blind::Remote(engine) if engine == address), "{blind}");
    }
    // A forwarded socket, or an engine in a virtual machine.
    let blind = memory(SOCKET, 8 * GIB, proc.path(), DEADLINE).await.unwrap_err();
    assert!(blind.to_string().contains("4096 MiB where the engine has 8192 MiB"), "{blind}");
    for engine in [0, 4 * GIB - GIB / 4, 4 * GIB + GIB / 4] {
        assert!(memory(SOCKET, engine, proc.path(), DEADLINE).await.is_ok(), "{engine}");
    }
}

#[tokio::test]
async fn figures_that_cannot_be_read_are_named_with_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let blind = memory(SOCKET, 0, empty.path(), DEADLINE).await.unwrap_err().to_string();
    assert!(blind.contains("meminfo cannot be read"), "{blind}");
    assert!(blind.contains("set monitor.proc"), "{blind}");
    for meminfo in ["", "MemTotal: 4194304 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n", "\0"] {
        let proc = proc(meminfo, None);
        let blind = memory(SOCKET, 0, proc.path(), DEADLINE).await.unwrap_err();
        assert!(matches!(blind, Blind::Garbled(_)), "{meminfo:?}: {blind}");
    }
}

#[test]
fn a_stall_that_is_no_percentage_says_nothing() {
    for text in
        ["full avg60=3.0", "some avg10=1.0", "some avg60=x", "some avg60=-1", "some avg60=NaN"]
    {
        assert_eq!(stalled(text), None, "{text}");
    }
}
