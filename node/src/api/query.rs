//! Reading paths and queries: what is not as expected is said in words.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path as Named, Query},
    http::{StatusCode, request::Parts},
};
use chain::{
    api::{MAX_PAGE, Page},
    id::{ADDRESS_PREFIX, Address},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::problem::ApiProblem;
use crate::app::Location;

/// What a route takes after the question mark.
pub trait Parameters {
    /// All of them; they stand in the OpenAPI document too.
    const TAKEN: &'static [Parameter];
}

/// A parameter of a query, or a header field that a route looks at.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// As it is written.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Whether it must be there.
    pub required: bool,
}

/// What a value may be; the handler checks it, the document says it.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text of this form, a regular expression.
    Text(&'static str),
    /// A whole number from the first to the second, in decimal digits.
    Number(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Parameter {
    /// One that may be left out.
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, about, required: false }
    }

    /// The same, which must be there.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// An account's address in a query.
pub const ACCOUNT: Kind = Kind::Text(chain::openapi::ADDRESS);

/// A connector in a query.
pub const CONNECTOR: Kind = Kind::Text("^(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})$");

/// A condominium's number.
pub const CONDOMINIUM: Kind = Kind::Number(0, u32::MAX as u64);

/// A height.
pub const HEIGHT: Kind = Kind::Number(0, u64::MAX);

/// The parameters of every list.
pub const LIMIT: Parameter =
    Parameter::new("limit", Kind::Number(1, MAX_PAGE as u64), "The most items of the page; 100 where it is left out.");
/// See [`LIMIT`].
pub const CURSOR: Parameter = Parameter::new("cursor", Kind::Text("^([0-9a-f]{2}){4,300}$"), "`next` of the page before, as it was given.");

/// A query string; unknown names are refused, because a misspelt filter would be no filter.
#[derive(Clone, Copy, Debug)]
pub struct Asked<T>(pub T);

/// Of a route that takes no parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Nothing {}

impl Parameters for Nothing {
    const TAKEN: &'static [Parameter] = &[];
}

impl<S: Send + Sync, T: DeserializeOwned + Parameters> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let given = pairs(parts.uri.query().unwrap_or_default(), T::TAKEN)?;
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(unreadable(&rejection.body_text(), T::TAKEN, &given)),
        }
    }
}

/// Names and values of a query string, decoded; each name is one that the route takes, and is given once.
fn pairs(query: &str, taken: &'static [Parameter]) -> Result<Vec<(String, String)>, ApiProblem> {
    let mut given: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            let detail = format!("{pair:?} is no percent-encoded UTF-8: a % is followed by two hexadecimal digits, the sign itself is %25");
            return Err(ApiProblem::bad_request(detail).about("query"));
        };
        let Some(parameter) = taken.iter().find(|parameter| parameter.name == name) else {
            return Err(ApiProblem::bad_request(format!("there is no parameter {name:?} here: {}", accepted(taken))).about(&name));
        };
        if given.iter().any(|(known, _)| *known == name) {
            return Err(ApiProblem::bad_request(format!("{name} is given twice: give it once")).about(&name));
        }
        if matches!(parameter.kind, Kind::Number(..)) && number::<u64>(&value).is_none() {
            return Err(no_number(&name, &value));
        }
        given.push((name, value));
    }
    Ok(given)
}

fn accepted(taken: &[Parameter]) -> String {
    let names: Vec<&str> = taken.iter().map(|parameter| parameter.name).collect();
    match names.as_slice() {
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
fn unreadable(reason: &str, taken: &[Parameter], given: &[(String, String)]) -> ApiProblem {
    let reason = reason.trim_start_matches("Failed to deserialize query string: ");
    let mut names = taken.iter().map(|parameter| parameter.name);
    if let Some(missing) = names.find(|name| reason.contains(&format!("missing field `{name}`"))) {
        return ApiProblem::bad_request(format!("{missing} is missing: add {missing}= to the query")).about(missing);
    }
    let blamed = given.iter().find(|(name, _)| reason.starts_with(&format!("{name}: ")));
    let Some((name, value)) = blamed else { return ApiProblem::bad_request(format!("the query: {reason}")).about("query") };
    let reason = reason.trim_start_matches(&format!("{name}: "));
    if reason.contains("digit") || reason.contains("integer") || reason.contains("number") {
        return no_number(name, value);
    }
    ApiProblem::bad_request(format!("{name}: {reason}, found {value:?}")).about(name)
}

fn no_number(name: &str, value: &str) -> ApiProblem {
    let detail = format!("{name}: expected a whole number in decimal digits, within its range, found {value:?}");
    ApiProblem::bad_request(detail).about(name)
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

/// An account's address. One that looks like an address and has a letter wrong is told from what is none.
pub fn account_named(text: &str) -> Result<Address, ApiProblem> {
    const LENGTH: usize = 63;
    parse(text, "account").map_err(|problem| {
        let letters = text.strip_prefix(ADDRESS_PREFIX).and_then(|rest| rest.strip_prefix('1'));
        let written = letters.is_some_and(|letters| letters.bytes().all(|letter| ADDRESS_LETTERS.contains(&letter)));
        if text.len() == LENGTH && written { problem.with_status(StatusCode::UNPROCESSABLE_ENTITY) } else { problem }
    })
}

/// What an address is written with after its prefix (BIP 173).
const ADDRESS_LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Decimal digits as a number: nothing else, so that a sign is no other name of the same thing.
pub fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
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

/// The bytes of a cursor that tell it from one of another list.
const MARK_BYTES: usize = 4;

/// A position in a list as a text that says nothing to whoever has it, and that another list does not take.
fn sealed(list: &[u8], position: &[u8]) -> String {
    let mark = mark(list, position);
    hex::encode([mark.as_slice(), position].concat())
}

/// The position that a cursor of this list names.
fn opened(list: &[u8], cursor: &str) -> Result<Vec<u8>, ApiProblem> {
    let written = (MARK_BYTES * 2..=MAX_CURSOR_DIGITS).contains(&cursor.len()) && !cursor.bytes().any(|byte| byte.is_ascii_uppercase());
    let bytes = hex::decode(cursor).ok().filter(|_| written).ok_or_else(|| wrong_cursor(cursor))?;
    match bytes.split_first_chunk::<MARK_BYTES>() {
        Some((found, position)) if *found == mark(list, position) => Ok(position.to_vec()),
        Some(_) | None => {
            Err(ApiProblem::not_found(format!("cursor: {cursor} is no place in this list: leave it out to begin anew")).about("cursor"))
        }
    }
}

fn mark(list: &[u8], position: &[u8]) -> [u8; MARK_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("commonwatt 2026 page cursor");
    hasher.update(&(list.len() as u64).to_le_bytes()).update(list).update(position);
    let mut mark = [0; MARK_BYTES];
    hasher.finalize_xof().fill(&mut mark);
    mark
}

/// The longest cursor, in hexadecimal digits.
const MAX_CURSOR_DIGITS: usize = 600;

/// A place in the chain as a cursor of a list.
pub fn cursor_of(list: &str, location: Location) -> String {
    cursor_within(list, location, 0)
}

/// A place in the chain, and so many items of it that were given already, as a cursor of a list.
pub fn cursor_within(list: &str, location: Location, given: u32) -> String {
    let position = [location.height.0.to_be_bytes().as_slice(), &location.index.to_be_bytes(), &given.to_be_bytes()].concat();
    sealed(list.as_bytes(), &position)
}

/// The place that a cursor names.
pub fn location_of(list: &str, cursor: &str) -> Result<Location, ApiProblem> {
    place_within(list, cursor).map(|(location, _)| location)
}

/// The place that a cursor names, and how many items of it were given already.
pub fn place_within(list: &str, cursor: &str) -> Result<(Location, u32), ApiProblem> {
    let position = opened(list.as_bytes(), cursor)?;
    let read = || {
        let (height, rest) = position.split_first_chunk()?;
        let (index, given) = rest.split_first_chunk()?;
        let location = Location { height: chain::id::Height(u64::from_be_bytes(*height)), index: u32::from_be_bytes(*index) };
        Some((location, u32::from_be_bytes(given.try_into().ok()?)))
    };
    read().ok_or_else(|| wrong_cursor(cursor))
}

/// The state key after which the next page of a table begins, as a cursor.
pub fn key_cursor(table: &[u8], key: &[u8]) -> String {
    sealed(table, key)
}

/// The state key that a cursor names: one of another table would end the list without a word.
pub fn key_of(cursor: &str, table: &[u8]) -> Result<Vec<u8>, ApiProblem> {
    Some(opened(table, cursor)?).filter(|key| key.starts_with(table)).ok_or_else(|| wrong_cursor(cursor))
}

fn wrong_cursor(cursor: &str) -> ApiProblem {
    let detail = format!("cursor: expected the text \"next\" of the page before, found {cursor:?}: leave it out to begin anew");
    ApiProblem::bad_request(detail).about("cursor")
}

impl Parameters for PageQuery {
    const TAKEN: &'static [Parameter] = &[LIMIT, CURSOR];
}

impl PageQuery {
    /// What a query with names of its own says of the page.
    pub const fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// The items of the page.
    pub fn limit(&self) -> Result<u32, ApiProblem> {
        limit(self.limit)
    }

    /// A page of a list that is at hand as a whole, in the order of what `key` makes of the items: the next page begins after the last one's key, whatever
    /// came or went meanwhile.
    pub fn of<T>(&self, list: &str, all: Vec<T>, key: impl Fn(&T) -> Vec<u8>) -> Result<Page<T>, ApiProblem> {
        let after = self.cursor.as_deref().map(|text| opened(list.as_bytes(), text)).transpose()?;
        let limit = self.limit()? as usize;
        let mut keyed: Vec<(Vec<u8>, T)> = all.into_iter().map(|item| (key(&item), item)).collect();
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        keyed.retain(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        let more = keyed.len() > limit;
        keyed.truncate(limit);
        let next = keyed.last().filter(|_| more).map(|(key, _)| sealed(list.as_bytes(), key));
        Ok(Page { items: keyed.into_iter().map(|(_, item)| item).collect(), next })
    }

    /// The cursor, as it was given.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The place where the page begins.
    pub fn location(&self, list: &str) -> Result<Option<Location>, ApiProblem> {
        self.cursor.as_deref().map(|text| location_of(list, text)).transpose()
    }

    /// The state key after which the page begins, of the table that is listed.
    pub fn key(&self, table: &[u8]) -> Result<Option<Vec<u8>>, ApiProblem> {
        self.cursor.as_deref().map(|text| key_of(text, table)).transpose()
    }
}

/// A page of records of the state: one more than `limit` was read, so that the last page is known as such.
pub fn page_of_keys<T, V>(table: &[u8], mut rows: Vec<(Vec<u8>, T)>, limit: u32, view: impl Fn(&[u8], T) -> Option<V>) -> Page<V> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|(key, _)| key_cursor(table, key));
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
