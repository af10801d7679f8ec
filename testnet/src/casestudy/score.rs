//! What a chain's history says of a case study, beside what the paper says.
//!
//! [`history`] reads an export and nothing else; [`figures`] reckons each figure of the paper from it and says whether it is within its tolerance; [`pictures`]
//! draws Figs. 19 to 25. It does not know what was planned: it imports neither the generator nor the driver of the simulated garage, and a test holds it to
//! that. Called by [`super`], with an export that was just made or one that somebody brings.

pub mod figures;
pub mod history;
pub mod pictures;
