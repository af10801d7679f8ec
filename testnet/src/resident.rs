//! A simulated resident, and the staff of a condominium: a wallet that signs calls and remembers what is not yet committed.
//!
//! Everything goes through `cli`'s wallet and client, as it would for a person. A transaction that was accepted and is in no block when the node dies is sent
//! again, byte for byte: then it is booked once, whatever happened to the first sending. All nodes of a federation stand on one clock: an instant is over when
//! all of them are quiet at one block. Called by [`crate::drive`] and [`crate::provision`].

use std::{collections::BTreeMap, time::Instant};

use chain::{
    id::{ChainId, TxId},
    time::{Duration, Timestamp},
};
use cli::{
    client::{Client, ClientError},
    wallet::Wallet,
};
use contracts::call::{Call, Transaction};
use ed25519_dalek::SigningKey;
use futures::future::try_join_all;
use tokio::sync::watch;

use crate::{
    clock::{Blocks, QUIET_TIMEOUT, Quiet},
    federation::{FederationError, Node, Peers, Recovered},
};

/// How long a transaction stays good, in the federation's time.
const VALIDITY: Duration = Duration::from_hours(2);

/// How often a request is repeated before its failure is believed; a node may be killed that often, and start in between.
const MAX_ATTEMPTS: u32 = 3_000;

/// How often a refusal is doubted where several nodes agree: one that was started again may still be behind the others.
const MAX_DOUBTS: u32 = 40;

/// Between two looks at nodes that are not at one block, and between two doubts.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(1);
const DOUBT_AGAIN: std::time::Duration = std::time::Duration::from_millis(100);

/// Why something could not be asked or done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The node's processes.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The node refuses, or cannot be understood.
    #[error("{what}: {error}")]
    Refused { what: String, error: ClientError },
    /// It never answers.
    #[error("the node does not answer: {what}")]
    Deaf { what: String },
}

/// A resident's or an officer's wallet.
#[derive(Debug)]
pub struct Resident {
    wallet: Wallet,
}

/// A key that depends on nothing but a seed and a number: the same run has the same addresses.
#[must_use]
pub fn seeded_key(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("commonwatt 2026 testnet key");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

impl Resident {
    /// The resident of a key that has signed nothing yet.
    #[must_use]
    pub fn new(key: &[u8; 32], chain_id: ChainId) -> Self {
        Self::with_key(SigningKey::from_bytes(key), chain_id)
    }

    /// As [`Resident::new`].
    #[must_use]
    pub fn with_key(key: SigningKey, chain_id: ChainId) -> Self {
        Self { wallet: Wallet::with_nonce(key, chain_id, 0) }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> chain::id::Address {
        self.wallet.address()
    }

    /// The wallet.
    #[must_use]
    pub const fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// Signs the next call.
    ///
    /// # Errors
    /// [`AskError::Refused`] for a call that is too large.
    pub fn sign(&self, call: Call, now_ms: u64) -> Result<Transaction, AskError> {
        let what = || call.action().name().to_owned();
        let valid_until = Timestamp::from_ms(now_ms).saturating_add(VALIDITY);
        let refused = |error: ClientError| AskError::Refused { what: what(), error };
        let signed = self.wallet.sign(call.clone(), valid_until).map_err(|error| refused(error.into()))?;
        signed.ok_or_else(|| AskError::Deaf { what: what() })
    }
}

/// What was accepted and not yet seen in a block, in the order of sending, each with the node that it was sent to.
#[derive(Debug, Default)]
pub struct Outstanding {
    transactions: BTreeMap<u64, (usize, Transaction)>,
    by_id: std::collections::HashMap<TxId, u64>,
    next: u64,
}

impl Outstanding {
    /// Whether everything is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Takes note that a transaction is in a block; gives it if it was one of ours.
    pub fn committed(&mut self, id: &TxId) -> Option<Transaction> {
        let number = self.by_id.remove(id)?;
        self.transactions.remove(&number).map(|(_, transaction)| transaction)
    }

    fn add(&mut self, node: usize, transaction: Transaction) {
        self.by_id.insert(transaction.id(), self.next);
        self.transactions.insert(self.next, (node, transaction));
        self.next += 1;
    }
}

/// A node and the client of its API.
#[derive(Debug)]
pub struct Line {
    /// The process.
    pub node: Node,
    /// The client of its API.
    pub client: Client,
}

/// The nodes of a chain, their clients, and what residents have sent to them.
#[derive(Debug)]
pub struct Lines {
    /// One for each condominium.
    pub each: Vec<Line>,
    /// What is under way.
    pub outstanding: Outstanding,
}

impl Lines {
    /// Lines to the nodes of one chain.
    ///
    /// # Errors
    /// [`AskError::Refused`] for an address that is none.
    pub fn new(nodes: Vec<Node>) -> Result<Self, AskError> {
        let line = |node: Node| match Client::new(&node.api_url()) {
            Ok(client) => Ok(Line { node, client }),
            Err(error) => Err(AskError::Refused { what: "the node's address".to_owned(), error }),
        };
        Ok(Self { each: nodes.into_iter().map(line).collect::<Result<_, _>>()?, outstanding: Outstanding::default() })
    }

    /// How often nodes were started again.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.each.iter().map(|line| line.node.restarts()).sum()
    }

    /// Moves all clocks and waits until every node is quiet and all have the same newest block; gives that, and the earliest timer of any. A node that dies
    /// meanwhile is started again in the same instant.
    ///
    /// # Errors
    /// [`FederationError`].
    pub async fn advance(&mut self, to_ms: u64) -> Result<Quiet, FederationError> {
        self.move_to(to_ms, Blocks::Free).await
    }

    /// As [`Lines::advance`], and then no node begins a block until it is moved again, so that what is sent now shares one. A node that dies meanwhile comes
    /// back without this: then there are more blocks, nothing else.
    ///
    /// # Errors
    /// [`FederationError`].
    pub async fn hold(&mut self, now_ms: u64) -> Result<Quiet, FederationError> {
        self.move_to(now_ms, Blocks::Held).await
    }

    async fn move_to(&mut self, to_ms: u64, blocks: Blocks) -> Result<Quiet, FederationError> {
        let until = Instant::now() + QUIET_TIMEOUT;
        loop {
            // Quiet at one block in one round: a node makes something new only because of the time, a block or us, and none of them came in between.
            let restless = watch::Sender::new(self.each.len());
            let quiet = try_join_all(self.each.iter_mut().map(|line| rest(&mut line.node, to_ms, blocks, &restless))).await?;
            let next_timer = quiet.iter().filter_map(|quiet| quiet.next_timer).min();
            if let Some(first) = quiet.first()
                && quiet.iter().all(|quiet| quiet.height == first.height)
            {
                return Ok(Quiet { next_timer, ..*first });
            }
            if Instant::now() >= until {
                let heights: Vec<_> = quiet.iter().map(|quiet| quiet.height.to_string()).collect();
                return Err(FederationError::Apart(format!("quiet at blocks {}", heights.join(", "))));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// To be called after a request to a node had no answer: starts it again if it is dead, and others too, without which it might never answer; and sends
    /// again what was lost with a pool.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn recover(&mut self, node: usize) -> Result<(), AskError> {
        match self.revive(node).await? {
            Recovered::WasAlive => Ok(()),
            Recovered::Restarted => self.send_again().await,
        }
    }

    /// Starts every dead node again; waits a moment where the one that did not answer lives.
    async fn revive(&mut self, node: usize) -> Result<Recovered, FederationError> {
        let peers = self.peers();
        let mut recovered = self.each[node].node.recover(peers).await?;
        for line in &mut self.each {
            if line.node.start_again().await? {
                recovered = Recovered::Restarted;
            }
        }
        Ok(recovered)
    }

    /// Offers everything that is not yet seen in a block once more; what is committed already is answered as such.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn send_again(&mut self) -> Result<(), AskError> {
        let peers = self.peers();
        let all: Vec<(usize, Transaction)> = self.outstanding.transactions.values().cloned().collect();
        for (node, transaction) in all {
            let mut doubts = 0;
            // Whoever recovers is not recovered again: the node's next death is noticed by the next request.
            for _ in 0..MAX_ATTEMPTS {
                match self.each[node].client.submit(transaction.bytes()).await {
                    Ok(_) => break,
                    Err(error) if error.is_transient() => {
                        self.revive(node).await?;
                    }
                    Err(_) if peers == Peers::Some && doubts < MAX_DOUBTS => {
                        doubts += 1;
                        tokio::time::sleep(DOUBT_AGAIN).await;
                    }
                    Err(error) => return Err(refused(&transaction, error)),
                }
            }
        }
        Ok(())
    }

    /// Offers a transaction to a node until that has it in its pool.
    ///
    /// # Errors
    /// [`AskError::Refused`] where the node refuses it.
    pub async fn submit(&mut self, node: usize, transaction: &Transaction) -> Result<(), AskError> {
        let mut doubts = 0;
        for _ in 0..MAX_ATTEMPTS {
            match self.each[node].client.submit(transaction.bytes()).await {
                Ok(_) => {
                    self.outstanding.add(node, transaction.clone());
                    return Ok(());
                }
                Err(error) if error.is_transient() => self.recover(node).await?,
                Err(_) if self.peers() == Peers::Some && doubts < MAX_DOUBTS => {
                    doubts += 1;
                    tokio::time::sleep(DOUBT_AGAIN).await;
                }
                Err(error) => return Err(refused(transaction, error)),
            }
        }
        Err(AskError::Deaf { what: transaction.body().call.action().name().to_owned() })
    }

    /// Asks a node until there is an answer.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<T>(
        &mut self,
        node: usize,
        what: &str,
        question: impl AsyncFn(&Client) -> Result<T, ClientError>,
    ) -> Result<T, AskError> {
        for _ in 0..MAX_ATTEMPTS {
            match question(&self.each[node].client).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_transient() => self.recover(node).await?,
                Err(error) => return Err(AskError::Refused { what: what.to_owned(), error }),
            }
        }
        Err(AskError::Deaf { what: what.to_owned() })
    }

    /// Asks all nodes to end and waits for that.
    ///
    /// # Errors
    /// [`FederationError::Io`].
    pub async fn stop(self) -> Result<(), FederationError> {
        try_join_all(self.each.into_iter().map(|line| line.node.stop())).await?;
        Ok(())
    }

    const fn peers(&self) -> Peers {
        if self.each.len() > 1 { Peers::Some } else { Peers::None }
    }
}

/// Waits until a node is quiet, and then for the others: one that dies meanwhile is started again, because they may need its vote to become quiet.
async fn rest(node: &mut Node, to_ms: u64, blocks: Blocks, restless: &watch::Sender<usize>) -> Result<Quiet, FederationError> {
    let mut others = restless.subscribe();
    loop {
        let quiet = node.move_to(to_ms, blocks).await?;
        restless.send_modify(|restless| *restless -= 1);
        tokio::select! {
            biased;
            // The sender outlives this call.
            _ = others.wait_for(|restless| *restless == 0) => return Ok(quiet),
            () = node.died() => restless.send_modify(|restless| *restless += 1),
        }
    }
}

fn refused(transaction: &Transaction, error: ClientError) -> AskError {
    AskError::Refused { what: transaction.body().call.action().name().to_owned(), error }
}
