//! Whether a chain is played or meant: said in genesis, by the API and by the clock.

use serde::{Deserialize, Serialize};

/// Whether a chain is played or meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// Money is behind it.
    Live,
    /// A test federation, whose clock may be stepped.
    Test,
}
