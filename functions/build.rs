//! How the program of a function is linked: at a fixed address, so that nothing has to be moved when it starts.
//!
//! That makes it smaller and its start shorter by more than anything else that was tried (`docs/performance.md`). What it
//! gives up is a random address of the program's own code; stack, heap and libraries keep theirs.

#[allow(clippy::disallowed_methods, reason = "so does cargo tell a build script what it builds for")]
fn main() {
    println!("cargo:rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
