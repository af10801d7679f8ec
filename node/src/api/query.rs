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

/// A query string; unknown names are refused, because a misspelt filter would be no filter.
#[derive(Clone, Copy, Debug)]
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(ApiProblem::bad_request(format!("the query: {}", rejection.body_text()))),
        }
    }
}

/// The named parts of the path; escapes that are no text are refused in words, as everything else is.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        match Named::<T>::from_request_parts(parts, state).await {
            Ok(Named(named)) => Ok(Self(named)),
            Err(rejection) => Err(ApiProblem::bad_request(format!("the path: {}", rejection.body_text()))),
        }
    }
}

/// A part of the path as an id.
pub fn parse<T: FromStr<Err: Display>>(text: &str, what: &str) -> Result<T, ApiProblem> {
    text.parse().map_err(|error| ApiProblem::bad_request(format!("{what} {text:?}: {error}")))
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
        Some(limit) => Err(ApiProblem::bad_request(format!("limit: expected 1 to {MAX_PAGE}, found {limit}"))),
    }
}

/// A place in the chain as a cursor.
pub fn cursor_of(location: Location) -> String {
    format!("{}-{}", location.height, location.index)
}

/// The place that a cursor names.
pub fn location_of(cursor: &str) -> Result<Location, ApiProblem> {
    let bad = || ApiProblem::bad_request(format!("cursor: expected the one of the page before, found {cursor:?}"));
    let (height, index) = cursor.split_once('-').ok_or_else(bad)?;
    let height = chain::id::Height(number(height).ok_or_else(bad)?);
    Ok(Location { height, index: number(index).ok_or_else(bad)? })
}

/// The state key that a cursor names: one of another table would end the list without a word.
pub fn key_of(cursor: &str, table: &[u8]) -> Result<Vec<u8>, ApiProblem> {
    let key = hex::decode(cursor).ok().filter(|key| key.starts_with(table));
    key.ok_or_else(|| ApiProblem::bad_request(format!("cursor: expected the one of the page before, found {cursor:?}")))
}

impl PageQuery {
    /// The items of the page.
    pub fn limit(&self) -> Result<u32, ApiProblem> {
        limit(self.limit)
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
