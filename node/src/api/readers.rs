//! Who may read what: anybody what names nobody, and whoever has signed in what the chain's state lets him see.
//!
//! A reader signs a challenge of this node and gets a token; both are the node's own words under a key that lives as long as the process, so nothing is kept
//! but the challenges that were used and have not lapsed. A token says who its bearer is, never what he may see: that is looked up in the state each time, so
//! a role that ends ends there too. Time here is real and never goes back, whatever the ledger's clock does. Called by the routes.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json,
    extract::{FromRequest as _, FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
};
use chain::{
    hash::Hash32,
    id::{Address, ChainId, CondominiumId},
    record::{Account, Key, Role, RoleGrant},
    sign_in::{Challenge, SignIn, Token},
    time::{Duration, Timestamp},
};

use super::{
    ApiState, accounts,
    problem::ApiProblem,
    query::{Asked, Nothing},
};
use crate::{
    app::{Snapshot, StoreError},
    config::{ApiConfig, Reads},
};

/// How long a challenge may be answered.
pub const CHALLENGE_LIFE: Duration = Duration::from_mins(1);

/// How long a token is good.
pub const TOKEN_LIFE: Duration = Duration::from_mins(15);

/// The most used challenges that are remembered: so many may sign in within [`CHALLENGE_LIFE`].
const MAX_USED: usize = 10_000;

/// What the seals of challenges and tokens begin with, so that none passes for another.
const CHALLENGE: &[u8] = b"challenge";
const TOKEN: &[u8] = b"token";

/// The doorkeeper of one run of a node.
#[derive(Debug)]
pub struct Readers {
    policy: Reads,
    node: Hash32,
    key: Secret,
    since: (Timestamp, Instant),
    token_life: Duration,
    used: Mutex<BTreeSet<(Timestamp, Hash32)>>,
}

/// A key that is never shown.
struct Secret([u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Readers {
    /// With a key of its own; `node` is the public key by which the network knows this node.
    pub fn new(config: &ApiConfig, node: Hash32) -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = Timestamp::from_ms(u64::try_from(began.as_millis()).unwrap_or(u64::MAX));
        Self {
            policy: config.reads,
            node,
            key: Secret(rand::random()),
            since: (began, Instant::now()),
            token_life: TOKEN_LIFE,
            used: Mutex::default(),
        }
    }

    /// The same with another life of tokens than [`TOKEN_LIFE`].
    pub const fn with_token_life(mut self, life: Duration) -> Self {
        self.token_life = life;
        self
    }

    /// Whether somebody must sign in to read what names people.
    pub const fn sign_in(&self) -> bool {
        matches!(self.policy, Reads::ByRole)
    }

    fn now(&self) -> Timestamp {
        let (began, instant) = self.since;
        began.saturating_add(Duration::from_ms(u64::try_from(instant.elapsed().as_millis()).unwrap_or(u64::MAX)))
    }

    fn seal(&self, what: &[u8], parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        // Every part has one length per kind, so no two lists of parts are the same bytes.
        hasher.update(what);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn challenge_seal(&self, nonce: &Hash32, expires_at: Timestamp) -> blake3::Hash {
        self.seal(CHALLENGE, &[nonce.as_bytes(), &expires_at.ms().to_le_bytes()])
    }

    fn challenge(&self, chain_id: ChainId) -> Challenge {
        let (nonce, expires_at) = (Hash32(rand::random()), self.now().saturating_add(CHALLENGE_LIFE));
        let seal = Hash32(*self.challenge_seal(&nonce, expires_at).as_bytes());
        Challenge { chain_id, node: self.node, nonce, expires_at, seal }
    }

    /// A token for an answer to a challenge of this run, once.
    fn token(&self, chain_id: ChainId, answer: &SignIn) -> Result<Token, ApiProblem> {
        let asked = &answer.challenge;
        let now = self.now();
        // The hash compares in constant time.
        let ours = self.challenge_seal(&asked.nonce, asked.expires_at) == blake3::Hash::from_bytes(asked.seal.0);
        if !ours || asked.chain_id != chain_id || asked.node != self.node {
            return Err(ApiProblem::sign_in_refused("challenge: it is none of this node's present run: ask for a new one"));
        }
        if asked.expires_at <= now {
            return Err(ApiProblem::sign_in_refused("challenge: it has lapsed: ask for a new one and answer it within a minute"));
        }
        answer.verify().map_err(|_| ApiProblem::sign_in_refused("signature: it is not the account's over this challenge"))?;
        self.use_up(asked.expires_at, asked.nonce, now)?;
        let expires_at = now.saturating_add(self.token_life);
        let bytes = [answer.account.as_bytes().as_slice(), &expires_at.ms().to_le_bytes()].concat();
        let seal = self.seal(TOKEN, &[&bytes]);
        Ok(Token { token: hex::encode([bytes.as_slice(), seal.as_bytes()].concat()), account: answer.account, expires_at })
    }

    fn use_up(&self, expires_at: Timestamp, nonce: Hash32, now: Timestamp) -> Result<(), ApiProblem> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // What has lapsed is refused without being remembered.
        *used = used.split_off(&(now, Hash32::ZERO));
        if used.len() >= MAX_USED {
            return Err(ApiProblem::unavailable("too many have signed in within a minute: try again"));
        }
        if used.insert((expires_at, nonce)) {
            Ok(())
        } else {
            Err(ApiProblem::sign_in_refused("challenge: it was answered before: ask for a new one"))
        }
    }

    /// The account whose token this is, and for how long yet.
    fn bearer(&self, token: &str) -> Option<(Address, Duration)> {
        let mut bytes = [0; 72];
        hex::decode_to_slice(token, &mut bytes).ok()?;
        let (account, rest) = bytes.split_first_chunk::<32>()?;
        let (expires_at, seal) = rest.split_first_chunk::<8>()?;
        let found = blake3::Hash::from_bytes(seal.try_into().ok()?);
        let good = self.seal(TOKEN, &[account, expires_at]) == found;
        let left = Timestamp::from_ms(u64::from_le_bytes(*expires_at)).since(self.now());
        (good && left > Duration::ZERO).then_some((Address(*account), left))
    }

    /// Whose token the header fields carry.
    ///
    /// # Errors
    /// 401 where they carry one that is none, or none any more.
    pub fn of(&self, headers: &HeaderMap) -> Result<Option<Address>, ApiProblem> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let bearer = token.and_then(|(_, token)| self.bearer(token.trim()));
        bearer.map(|(account, _)| Some(account)).ok_or_else(|| {
            ApiProblem::sign_in_needed("Authorization: the token is none of this node's, or has run out").about("Authorization")
        })
    }

    /// How long the token of these header fields is good yet, for answers that go on; nothing where nobody has to sign in.
    pub fn life_of(&self, headers: &HeaderMap) -> Option<std::time::Duration> {
        if !self.sign_in() {
            return None;
        }
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = value.and_then(|text| text.split_once(' ')).and_then(|(_, token)| self.bearer(token.trim()));
        // One that ran out since the request was let in is good for nothing.
        Some(std::time::Duration::from_millis(bearer.map_or(0, |(_, left)| left.ms())))
    }
}

/// `POST /challenges`.
pub async fn challenge(State(state): State<ApiState>, _: Asked<Nothing>) -> Json<Challenge> {
    Json(state.shared.readers.challenge(state.app.chain_id()))
}

/// `POST /tokens`.
pub async fn token(State(state): State<ApiState>, _: Asked<Nothing>, request: Request) -> Result<Json<Token>, ApiProblem> {
    let patience = state.shared.body_timeout;
    let body = tokio::time::timeout(patience, Json::<SignIn>::from_request(request, &()));
    let Json(answer) = body.await.map_err(|_| ApiProblem::slow_body(patience))??;
    let token = state.shared.readers.token(state.app.chain_id(), &answer)?;
    // Whom the chain does not know has nothing to read, and is told so at once.
    if state.app.snapshot()?.account(&answer.account)?.is_none() {
        return Err(accounts::unknown(&answer.account));
    }
    Ok(Json(token))
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// Anybody, at a node that shows everybody everything.
    Everybody,
    /// Somebody who has not signed in.
    Stranger,
    /// The holder of an account's key.
    Account(Address),
}

impl FromRequestParts<ApiState> for Reader {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiProblem> {
        let readers = &state.shared.readers;
        // Where a reader is needed, a token that is none was refused before the route was asked.
        let bearer = readers.of(&parts.headers).unwrap_or(None);
        Ok(match bearer {
            _ if !readers.sign_in() => Self::Everybody,
            Some(account) => Self::Account(account),
            None => Self::Stranger,
        })
    }
}

impl Reader {
    /// Requires somebody who has signed in, where that matters.
    ///
    /// # Errors
    /// 401.
    pub fn required(self, what: &str) -> Result<(), ApiProblem> {
        match self {
            Self::Stranger => Err(ApiProblem::sign_in_needed(format!("{what} names people or what they did"))),
            Self::Everybody | Self::Account(_) => Ok(()),
        }
    }

    /// What the state lets this reader see.
    pub fn sight(self, snapshot: &Snapshot<'_>) -> Result<Sight, StoreError> {
        let mut sight = Sight { everything: matches!(self, Self::Everybody), account: None, staff_of: BTreeSet::new() };
        let Self::Account(account) = self else { return Ok(sight) };
        sight.account = Some(account);
        let height = snapshot.tip().height.next();
        for condominium in accounts::condominium_ids(snapshot)? {
            for role in [Role::Manager, Role::Treasurer, Role::Auditor] {
                let grant = snapshot.record::<RoleGrant>(&Key::Role(condominium, role, account))?;
                if grant.is_some_and(|grant| grant.holds_at(height)) {
                    sight.staff_of.insert(condominium);
                    // The chain can be checked as a whole alone.
                    sight.everything |= role == Role::Auditor;
                }
            }
        }
        Ok(sight)
    }
}

/// What one reader may see, in the state that it was looked up in.
#[derive(Clone, Debug)]
pub struct Sight {
    /// An auditor, or anybody at an open node.
    everything: bool,
    account: Option<Address>,
    /// Where the reader is manager, treasurer or auditor.
    staff_of: BTreeSet<CondominiumId>,
}

impl Sight {
    /// Whether it is everything.
    pub const fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether this is the reader's own account.
    pub fn is_own(&self, account: &Address) -> bool {
        self.account.as_ref() == Some(account)
    }

    /// Whether it takes in what happens in a condominium.
    pub fn takes_in(&self, condominium: CondominiumId) -> bool {
        self.everything || self.staff_of.contains(&condominium)
    }

    /// Whether it takes in an account, or what only its owner and the staff of its home see.
    ///
    /// # Errors
    /// This machine's.
    pub fn takes_in_account(&self, snapshot: &Snapshot<'_>, account: &Address) -> Result<bool, StoreError> {
        if self.everything || self.is_own(account) {
            return Ok(true);
        }
        if self.staff_of.is_empty() {
            return Ok(false);
        }
        // Whoever sells tokens must be able to ask for one whom nobody knows yet.
        let found: Option<Account> = snapshot.account(account)?;
        Ok(found.is_none_or(|account| self.staff_of.contains(&account.home)))
    }

    /// Requires everything.
    ///
    /// # Errors
    /// 403.
    pub fn require_everything(&self, what: &str) -> Result<(), ApiProblem> {
        if self.everything {
            Ok(())
        } else {
            Err(ApiProblem::may_not_read(format!("{what} may be read by an auditor: ask a manager for the role")))
        }
    }

    /// Requires a condominium.
    ///
    /// # Errors
    /// 403.
    pub fn require_condominium(&self, condominium: CondominiumId, what: &str) -> Result<(), ApiProblem> {
        if self.takes_in(condominium) {
            return Ok(());
        }
        Err(ApiProblem::may_not_read(format!("{what} of condominium {condominium} may be read by its managers, treasurers and auditors")))
    }

    /// Requires an account.
    ///
    /// # Errors
    /// 403.
    pub fn require_account(&self, snapshot: &Snapshot<'_>, account: &Address) -> Result<(), ApiProblem> {
        if self.takes_in_account(snapshot, account)? {
            return Ok(());
        }
        let detail = format!("account {account} may be read by its owner, and by managers, treasurers and auditors of its home");
        Err(ApiProblem::may_not_read(detail).about("account"))
    }

    /// Whether it takes in a session of this account at a connector of this condominium.
    pub fn takes_in_session(&self, account: &Address, condominium: CondominiumId) -> bool {
        self.takes_in(condominium) || self.is_own(account)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use ed25519_dalek::SigningKey;

    use super::*;

    const CHAIN: ChainId = ChainId(Hash32([1; 32]));

    fn bearing(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap())])
    }

    #[test]
    fn challenges_and_tokens_lapse_and_are_good_for_one_run_of_one_node() {
        let mut readers = Readers::new(&ApiConfig::default(), Hash32([2; 32]));
        let key = SigningKey::from_bytes(&[7; 32]);
        let late = readers.challenge(CHAIN).answer(&key).unwrap();
        let token = readers.token(CHAIN, &readers.challenge(CHAIN).answer(&key).unwrap()).unwrap();
        assert_eq!(readers.of(&bearing(&token.token)).unwrap(), Some(token.account));
        assert_eq!(readers.of(&HeaderMap::new()).unwrap(), None);
        for place in 0..token.token.len() {
            let mut forged = token.token.clone().into_bytes();
            forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
            assert!(readers.of(&bearing(std::str::from_utf8(&forged).unwrap())).is_err(), "digit {place}");
        }
        let other = Readers::new(&ApiConfig::default(), Hash32([2; 32]));
        assert!(other.of(&bearing(&token.token)).is_err(), "another run has another key");
        assert!(other.token(CHAIN, &late).is_err());
        assert!(readers.token(ChainId(Hash32([3; 32])), &late).is_err(), "another chain");

        readers.since.0 = readers.since.0.saturating_add(CHALLENGE_LIFE);
        assert!(readers.token(CHAIN, &late).is_err(), "a minute is over");
        assert!(readers.of(&bearing(&token.token)).is_ok());
        readers.since.0 = readers.since.0.saturating_add(TOKEN_LIFE);
        assert!(readers.of(&bearing(&token.token)).is_err(), "a quarter of an hour is over");
        readers.token(CHAIN, &readers.challenge(CHAIN).answer(&key).unwrap()).unwrap();
        assert_eq!(readers.used.lock().unwrap().len(), 1, "what has lapsed is forgotten");
    }
}
