//! Compiles the shim and links libsimavr (Debian: libsimavr-dev).

fn main() {
    println!("cargo:rerun-if-changed=src/shim.c");
    cc::Build::new().file("src/shim.c").include("/usr/include/simavr").opt_level(2).warnings(false).compile("shim");
    println!("cargo:rustc-link-lib=simavr");
}
