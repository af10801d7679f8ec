//! Whether a client takes what a route answers (RFC 9110, section 12.5.1).
//!
//! Ranges and weights are read, parameters of a type are not looked at: no route has two forms of one type. Called before every route.

use axum::http::{HeaderMap, header};

/// The type of every refusal.
pub const PROBLEM: &str = "application/problem+json";

/// Whether one of these media types is acceptable; anything is where the client does not say.
pub fn takes(headers: &HeaderMap, mut offered: impl Iterator<Item = &'static str>) -> bool {
    let mut ranges: Vec<(String, bool)> = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        let Ok(text) = value.to_str() else { continue };
        ranges.extend(text.split(',').map(str::trim).filter(|range| !range.is_empty()).map(range));
    }
    if ranges.is_empty() {
        return true;
    }
    offered.any(|kind| {
        let kind = kind.split(';').next().unwrap_or(kind).trim();
        // The narrowest range that names the type decides.
        let family = kind.split('/').next().unwrap_or_default();
        let said = |wanted: &str| ranges.iter().find(|(range, _)| range == wanted).map(|(_, wanted)| *wanted);
        said(kind).or_else(|| said(&format!("{family}/*"))).or_else(|| said("*/*")).unwrap_or(false)
    })
}

/// A range in lower case, and whether its weight is above zero.
fn range(text: &str) -> (String, bool) {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let refused = weight.is_some_and(|weight| weight.parse::<f64>().is_ok_and(|weight| weight <= 0.0));
    (kind, !refused)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_narrowest_range_decides() {
        let json = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            takes(&headers, ["application/json"].into_iter())
        };
        for good in [
            "*/*",
            "application/*",
            "application/json",
            "text/html, application/json;q=0.1",
            "text/html,*/*;q=0.8",
            "",
            "APPLICATION/JSON; charset=utf-8",
        ] {
            assert!(json(good), "{good}");
        }
        for bad in ["text/html", "application/json;q=0, */*", "application/*;q=0", "application/problem+json", "text/*", "rubbish"] {
            assert!(!json(bad), "{bad}");
        }
        assert!(takes(&HeaderMap::new(), ["application/json"].into_iter()));
    }
}
