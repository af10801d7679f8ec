//! What a call knows besides the state: the block that it is in and the transaction that carries it.

use chain::{
    id::{Address, ChainId, Height, TxId},
    params::Params,
    time::Timestamp,
};

/// The block at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockContext {
    /// The chain.
    pub chain_id: ChainId,
    /// The block's height.
    pub height: Height,
    /// The block's time: the ledger's present.
    pub timestamp: Timestamp,
    /// The parameters at its beginning.
    pub params: Params,
}

/// The transaction at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallContext<'a> {
    /// Its block.
    pub block: &'a BlockContext,
    /// Its place in the block, from 0.
    pub index: u32,
    /// Its id.
    pub tx_id: TxId,
    /// The account that acts.
    pub account: Address,
    /// The key that signed.
    pub signer: Address,
}
