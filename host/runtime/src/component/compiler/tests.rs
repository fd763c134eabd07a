#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn compiler(program: &str) -> Compiler {
    Compiler {
        program: program.into(),
        timeout: Duration::from_mins(1),
        memory: 512 << 20,
    }
}

#[tokio::test]
async fn a_process_that_cannot_be_started_is_told() {
    let compiler = compiler("/nowhere/larder");
    let compiled = compiler.compile("x.wasm", Arc::new([]), None).await;
    let error = compiled.unwrap_err().to_string();
    assert!(error.contains("x.wasm"), "{error}");
    assert!(error.contains("cannot be started"), "{error}");
}

/// `false` takes nothing, and ends with 1.
#[cfg(unix)]
#[tokio::test]
async fn a_process_that_fails_without_a_word_compiled_nothing() {
    let bytes: Arc<[u8]> = vec![0; 1 << 20].into();
    let compiled = compiler("false").compile("x.wasm", bytes, None).await;
    let error = compiled.unwrap_err().to_string();
    assert!(error.contains("exit status: 1"), "{error}");
}

#[cfg(unix)]
#[test]
fn the_way_it_died_names_the_limit() {
    use std::os::unix::process::ExitStatusExt;

    let compiler = compiler("larder");
    for (wait_status, text, told) in [
        (
            6,
            "memory allocation of 64 bytes failed",
            "compile_memory (512 MiB)",
        ),
        (
            101 << 8,
            "thread panicked: Cannot allocate memory",
            "compile_memory",
        ),
        (child::SIGKILL, "", "compile_memory"),
        (child::SIGXCPU, "", "compile_timeout (1m)"),
        (11, "", "signal: 11"),
    ] {
        let died = compiler.abnormal_exit(ExitStatus::from_raw(wait_status), text);
        assert!(died.contains(told), "{died}");
    }
}
