//! Reading paths and queries: what is not as expected is said in words.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path as Named, Query},
    http::request::Parts,
};
use chain::api::{MAX_PAGE, Page};
use serde::{Deserialize, de::DeserializeOwned};

use super::problem::ApiProblem;
use crate::app::Location;

/// What a route takes after the question mark.
pub trait Parameters {
    /// The names.
    const NAMES: &'static [&'static str];
}

/// A query string; unknown names are refused, because a misspelt filter would be no filter.
#[derive(Clone, Copy, Debug)]
pub struct Asked<T>(pub T);

/// Of a route that takes no parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Nothing {}

impl Parameters for Nothing {
    const NAMES: &'static [&'static str] = &[];
}

impl<S: Send + Sync, T: DeserializeOwned + Parameters> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let given = pairs(parts.uri.query().unwrap_or_default(), T::NAMES)?;
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(unreadable(&rejection.body_text(), T::NAMES, &given)),
        }
    }
}

/// Names and values of a query string, decoded; each name is one that the route takes, and is given once.
fn pairs(query: &str, names: &'static [&'static str]) -> Result<Vec<(String, String)>, ApiProblem> {
    let mut given: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            let detail = format!("{pair:?} is no percent-encoded UTF-8: a % is followed by two hexadecimal digits, the sign itself is %25");
            return Err(ApiProblem::bad_request(detail).about("query"));
        };
        if !names.contains(&name.as_str()) {
            return Err(ApiProblem::bad_request(format!("there is no parameter {name:?} here: {}", accepted(names))).about(&name));
        }
        if given.iter().any(|(known, _)| *known == name) {
            return Err(ApiProblem::bad_request(format!("{name} is given twice: give it once")).about(&name));
        }
        given.push((name, value));
    }
    Ok(given)
}

fn accepted(names: &[&str]) -> String {
    match names {
        [] => "this route takes none, leave out what follows the question mark".to_owned(),
        [only] => format!("this route takes {only}"),
        [several @ .., last] => format!("this route takes {} and {last}", several.join(", ")),
    }
}

/// Text with its escapes undone, if they are whole and the result is text; a plus sign is a space, as in forms.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The problem of values that are not what their names promise.
fn unreadable(reason: &str, names: &[&str], given: &[(String, String)]) -> ApiProblem {
    let reason = reason.trim_start_matches("Failed to deserialize query string: ");
    if let Some(missing) = names.iter().find(|name| reason.contains(&format!("missing field `{name}`"))) {
        return ApiProblem::bad_request(format!("{missing} is missing: add {missing}= to the query")).about(missing);
    }
    let blamed = given.iter().find(|(name, _)| reason.starts_with(&format!("{name}: ")));
    let Some((name, value)) = blamed else { return ApiProblem::bad_request(format!("the query: {reason}")).about("query") };
    let reason = reason.trim_start_matches(&format!("{name}: "));
    let expected = if reason.contains("digit") || reason.contains("integer") || reason.contains("number") {
        "expected a whole number in decimal digits, within its range"
    } else {
        reason
    };
    ApiProblem::bad_request(format!("{name}: {expected}, found {value:?}")).about(name)
}

/// The named parts of the path; escapes that are no text are refused in words, as everything else is.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        match Named::<T>::from_request_parts(parts, state).await {
            Ok(Named(named)) => Ok(Self(named)),
            Err(rejection) => Err(ApiProblem::bad_request(format!("the path: {}", rejection.body_text())).about("path")),
        }
    }
}

/// A part of the path as an id.
pub fn parse<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, ApiProblem> {
    text.parse().map_err(|error| ApiProblem::bad_request(format!("{what} {text:?}: {error}")).about(what))
}

/// Decimal digits as a number: nothing else, so that a sign is no other name of the same thing.
pub fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `?limit=&cursor=`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// How many items a page has where nobody says.
const DEFAULT_PAGE: u32 = 100;

/// The items of a page: what was asked for, within [`MAX_PAGE`].
pub fn limit(asked: Option<u32>) -> Result<u32, ApiProblem> {
    match asked {
        None => Ok(DEFAULT_PAGE),
        Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiProblem::bad_request(format!("limit: expected 1 to {MAX_PAGE}, found {limit}")).about("limit")),
    }
}

/// A place in the chain as a cursor.
pub fn cursor_of(location: Location) -> String {
    format!("{}-{}", location.height, location.index)
}

/// The place that a cursor names.
pub fn location_of(cursor: &str) -> Result<Location, ApiProblem> {
    let bad = || wrong_cursor(cursor);
    let (height, index) = cursor.split_once('-').ok_or_else(bad)?;
    let height = chain::id::Height(number(height).ok_or_else(bad)?);
    Ok(Location { height, index: number(index).ok_or_else(bad)? })
}

/// The state key that a cursor names: one of another table would end the list without a word.
pub fn key_of(cursor: &str, table: &[u8]) -> Result<Vec<u8>, ApiProblem> {
    let key = hex::decode(cursor).ok().filter(|key| key.starts_with(table));
    key.ok_or_else(|| wrong_cursor(cursor))
}

fn wrong_cursor(cursor: &str) -> ApiProblem {
    let detail = format!("cursor: expected the text \"next\" of the page before, found {cursor:?}: leave it out to begin anew");
    ApiProblem::bad_request(detail).about("cursor")
}

impl Parameters for PageQuery {
    const NAMES: &'static [&'static str] = &["limit", "cursor"];
}

impl PageQuery {
    /// The items of the page.
    pub fn limit(&self) -> Result<u32, ApiProblem> {
        limit(self.limit)
    }

    /// A page of a list that is at hand as a whole; its cursor is the number of items before the page.
    pub fn of<T>(&self, all: Vec<T>) -> Result<Page<T>, ApiProblem> {
        let before: usize = self.cursor.as_deref().map(|text| number(text).ok_or_else(|| wrong_cursor(text))).transpose()?.unwrap_or(0);
        let limit = self.limit()? as usize;
        let end = before.saturating_add(limit);
        let next = (all.len() > end).then(|| end.to_string());
        Ok(Page { items: all.into_iter().skip(before).take(limit).collect(), next })
    }

    /// The place where the page begins.
    pub fn location(&self) -> Result<Option<Location>, ApiProblem> {
        self.cursor.as_deref().map(location_of).transpose()
    }

    /// The state key after which the page begins, of the table that is listed.
    pub fn key(&self, table: &[u8]) -> Result<Option<Vec<u8>>, ApiProblem> {
        self.cursor.as_deref().map(|text| key_of(text, table)).transpose()
    }
}

/// A page of records of the state: one more than `limit` was read, so that the last page is known as such.
pub fn page_of_keys<T, V>(mut rows: Vec<(Vec<u8>, T)>, limit: u32, view: impl Fn(&[u8], T) -> Option<V>) -> Page<V> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|(key, _)| hex::encode(key));
    Page { items: rows.into_iter().filter_map(|(key, record)| view(&key, record)).collect(), next }
}

/// The 32 bytes after a key's table byte.
pub fn key_hash(key: &[u8]) -> Option<[u8; 32]> {
    key.get(1..).and_then(|bytes| bytes.try_into().ok())
}

/// The condominium and number after a key's table byte.
pub fn key_local(key: &[u8]) -> Option<(chain::id::CondominiumId, u32)> {
    let condominium = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let number = u32::from_be_bytes(key.get(5..9)?.try_into().ok()?);
    Some((chain::id::CondominiumId(condominium), number))
}
