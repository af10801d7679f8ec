//! The engine's measurements, for `/metrics`.
//!
//! Its registry is one for the whole process, which is one reason why a process runs one node. Called by `mod` and by `driver`.

use arc_malachitebft_metrics::export;

/// The gauge that the engine raises before it hangs for safety's sake.
const SAFETY_FAILURE: &str = "node_safety_failure";

/// All measurements in the text format of Prometheus, without the line that ends a document, so that others can follow.
pub(super) fn text() -> String {
    let mut text = String::new();
    export(&mut text);
    let end = text.trim_end().strip_suffix("# EOF").map_or(text.len(), str::len);
    text.truncate(end);
    text
}

/// Whether the engine has stopped for safety's sake.
pub(super) fn safety_failure() -> bool {
    text().lines().any(|line| !line.starts_with('#') && line.contains(SAFETY_FAILURE) && line.ends_with(" 1"))
}
