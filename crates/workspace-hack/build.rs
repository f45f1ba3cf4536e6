//! Nothing to build: the build dependencies only unify features.
fn main() {
    // Without this every change of any file of the folder's crate would count.
    println!("cargo:rerun-if-changed=build.rs");
}
