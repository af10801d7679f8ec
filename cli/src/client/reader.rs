//! Reading as somebody: a node shows what names people to those alone whom the chain's state lets see it.
//!
//! The key is asked for only when the node wants to know who reads, and used for nothing else: it signs one challenge, and the node gives a token for a
//! while. The token is kept in memory alone. Called by [`Client`] for every request.

use std::{error::Error, fmt};

use chain::sign_in::{Challenge, SignIn, Token};
use ed25519_dalek::SigningKey;
use reqwest::{Method, RequestBuilder};
use tokio::sync::Mutex;

use super::{Client, ClientError, REQUEST_TIMEOUT};

/// Where the key comes from; it may ask somebody for a passphrase.
type KeySource = dyn Fn() -> Result<SigningKey, Box<dyn Error + Send + Sync>> + Send + Sync;

/// Who reads.
pub(super) struct Reader {
    key: Box<KeySource>,
    token: Mutex<Bearer>,
}

/// A token, or none yet.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Bearer(Option<String>);

impl Bearer {
    /// The request with the token, where there is one.
    pub(super) fn bearing(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.0 {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// The token that is known now.
    pub(super) async fn token(&self) -> Bearer {
        self.token.lock().await.clone()
    }

    /// A token in place of one that the node did not take; of several who need one at once, the first signs in for all.
    pub(super) async fn renewed(&self, client: &Client, refused: &Bearer) -> Result<Bearer, ClientError> {
        let mut token = self.token.lock().await;
        if *token == *refused {
            let key = (self.key)().map_err(|cause| ClientError::SignIn { cause })?;
            *token = Bearer(Some(client.sign_in(&key).await?.token));
        }
        Ok(token.clone())
    }
}

impl Client {
    /// The same client, which signs in by itself where the node wants to know who reads: `key` is asked then, and says why where there is none.
    #[must_use]
    pub fn reading_as<E: Into<Box<dyn Error + Send + Sync>>>(
        self,
        key: impl Fn() -> Result<SigningKey, E> + Send + Sync + 'static,
    ) -> Self {
        Self { reader: Some(Reader { key: Box::new(move || key().map_err(Into::into)), token: Mutex::default() }.into()), ..self }
    }

    /// The same client as a stranger, who never signs in.
    #[must_use]
    pub fn as_stranger(&self) -> Self {
        Self { reader: None, ..self.clone() }
    }

    /// Gets a token of the node for the account of this key.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::is_code`] `unknown_account` where the chain does not know the account.
    pub async fn sign_in(&self, key: &SigningKey) -> Result<Token, ClientError> {
        let answer: SignIn = self.challenge().await?.answer(key).map_err(|error| ClientError::SignIn { cause: error.into() })?;
        let request = self.request(Method::POST, "/tokens").timeout(REQUEST_TIMEOUT).json(&answer);
        self.json("/tokens", self.send_once(request).await?).await
    }

    /// `POST /challenges`: what a reader has to sign. It names the node's own key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn challenge(&self) -> Result<Challenge, ClientError> {
        let request = self.request(Method::POST, "/challenges").timeout(REQUEST_TIMEOUT);
        self.json("/challenges", self.send_once(request).await?).await
    }
}
