//! One simulated node: its disk, and while it lives its application, the loop that answers the engine, and the engine's state machine.
//!
//! Application and answers are those of a running node ([`node::app`] on a database of its own, [`consensus::stepped`]). What the engine's actors do around its
//! state machine (which effects are synced to the log before what is sent, when the application is waited for, the replay of the log) is done here, in the
//! order of the engine's release 0.8.2. It is one thread: every question to the application is asked and answered before anything else happens.
//!
//! A life ends between any two steps, a step being an effect of the engine or an answer of the application. Called by `world`.

mod effects;
mod life;

use std::path::PathBuf;

use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, SignedConsensusMsg},
    types::{
        core::Timeout,
        sync::{Request, Response, Status},
    },
};
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use bytes::Bytes;
use chain::id::Address;
use consensus::{
    context::Height,
    signing::{Keys, Signatures},
};
use contracts::genesis::Genesis;
use node::app::{Accepted, SubmitError};

pub(crate) use self::life::Life;
use crate::{
    Failure,
    log::Log,
    message::{self, Message},
    plan::{SECOND, Sabotage},
    shared::{Event, Shared},
    sync,
};

/// A node, alive or not.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) address: Address,
    keys: Keys,
    signatures: Signatures,
    directory: PathBuf,
    log: Log,
    lives: u64,
    /// How long it stays down after its end.
    down: u64,
    pub(crate) life: Option<Life>,
}

impl Node {
    pub(crate) fn new(index: usize, keys: Keys, signatures: Signatures, directory: PathBuf) -> Self {
        Self { index, address: keys.address().0, keys, signatures, directory, log: Log::default(), lives: 0, down: SECOND, life: None }
    }

    /// Starts the process on what is on its disk.
    pub(crate) fn start(&mut self, shared: &mut Shared, genesis: &Genesis) {
        if self.life.is_some() {
            return;
        }
        self.lives += 1;
        shared.trace("start", &[self.index as u64], &[]);
        match Life::begin(self, shared, genesis) {
            Ok(life) => self.life = Some(life),
            Err(error) => return shared.fail(Failure::Stopped { node: self.index, error }),
        }
        shared.tell(|| format!("node {} starts at height {}", self.index, self.tip()));
        let (node, life) = (self.index, self.lives);
        shared.at(shared.now + SECOND, Event::Tick { node, life });
        self.work(shared, |hands| hands.get_ready());
    }

    /// Buries a process that has come to its end: what was not synced is lost. Gives after how long it is started again.
    pub(crate) fn bury(&mut self, shared: &mut Shared) -> Option<u64> {
        let life = self.life.take_if(|life| life.dead)?;
        shared.count("crashes");
        shared.trace("crash", &[self.index as u64], &[]);
        life.end();
        let lost = self.log.crash(&mut shared.rng);
        shared.stats.count("entries of the log lost in crashes", lost as u64);
        if shared.plan.sabotage == Some(Sabotage::LoseLog) {
            self.log = Log::default();
        }
        shared.tell(|| format!("node {} dies, {lost} entries of its log are lost", self.index));
        Some(self.down)
    }

    /// Ends the process at the end of the run.
    pub(crate) fn end(&mut self) {
        if let Some(life) = self.life.take() {
            life.end();
        }
    }

    /// Whether the process has come to its end.
    pub(crate) fn is_dying(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.dead)
    }

    /// The newest committed block.
    pub(crate) fn tip(&self) -> u64 {
        self.life.as_ref().map_or(0, Life::tip)
    }

    fn is_living(&self, life: u64) -> bool {
        self.life.is_some() && self.lives == life
    }

    /// Does something, and then everything that follows from it at once.
    fn work(&mut self, shared: &mut Shared, first: impl FnOnce(&mut Hands<'_>)) {
        let Self { index, address, keys, signatures, log, lives, life, .. } = self;
        let Some(life) = life else { return };
        life.set_clock(shared.clock(*index));
        let mut hands = Hands { index: *index, number: *lives, address: *address, keys, signatures, log, life, shared };
        first(&mut hands);
        hands.run();
    }

    /// It dies after this many more steps, and stays down for so long.
    pub(crate) fn light_fuse(&mut self, steps: u64, down: u64) {
        if let Some(life) = &mut self.life {
            life.fuse = Some(steps);
            self.down = down;
        }
    }

    pub(crate) fn timer(&mut self, shared: &mut Shared, life: u64, timeout: Timeout, number: u64) {
        if self.is_living(life) {
            self.work(shared, |hands| hands.timer(timeout, number));
        }
    }

    pub(crate) fn answer(&mut self, shared: &mut Shared, life: u64) {
        if self.is_living(life) {
            self.work(shared, |hands| hands.answer_next());
        }
    }

    pub(crate) fn wake(&mut self, shared: &mut Shared, life: u64) {
        if self.is_living(life) {
            self.work(shared, |hands| hands.go_on());
        }
    }

    pub(crate) fn overdue(&mut self, shared: &mut Shared, life: u64, number: u64) {
        if self.is_living(life) {
            self.work(shared, |hands| hands.life.sync.timed_out(number));
        }
    }

    /// Says how high it is, and looks for work that nobody brought.
    pub(crate) fn tick(&mut self, shared: &mut Shared, life: u64) {
        if !self.is_living(life) {
            return;
        }
        shared.at(shared.now + SECOND, Event::Tick { node: self.index, life });
        self.work(shared, |hands| hands.announce());
    }

    /// A client hands in a transaction; nothing where the node is down.
    pub(crate) fn submit(&mut self, shared: &mut Shared, bytes: &Bytes) -> Option<Result<Accepted, SubmitError>> {
        let mut answer = None;
        self.work(shared, |hands| answer = Some(hands.life.submit(bytes.clone())));
        answer
    }

    /// A message arrives.
    pub(crate) fn receive(&mut self, shared: &mut Shared, from: usize, message: Message) {
        let peer = shared.peer(from);
        self.work(shared, |hands| match message {
            Message::Consensus(message) => {
                if hands.admits(&message) {
                    hands.hear(&message);
                    hands.input(message::consensus_input(message));
                }
            }
            Message::Liveness(message) => {
                if let LivenessMsg::Vote(vote) = &message {
                    let vote = SignedConsensusMsg::Vote(vote.clone());
                    if !hands.admits(&vote) {
                        return;
                    }
                    hands.hear_again(&vote);
                }
                hands.input(message::liveness_input(message));
            }
            Message::Part(part) => hands.ask_part(peer, part),
            Message::Status(Status { tip_height, .. }) => hands.life.sync.learn(from, tip_height.0),
            Message::Request(number, Request::ValueRequest(request)) => hands.ask_blocks(from, number, &request.range),
            Message::Response(number, Response::ValueResponse(ValueResponse { start_height, values, .. })) => {
                hands.life.sync.answered(number, from, start_height.0, values);
            }
            Message::Refused(number) => hands.life.sync.answered(number, from, 0, Vec::new()),
        });
    }
}

/// A living node and everything that it may touch.
#[derive(Debug)]
pub(crate) struct Hands<'a> {
    index: usize,
    /// Which of its lives this is.
    number: u64,
    address: Address,
    keys: &'a Keys,
    signatures: &'a Signatures,
    log: &'a mut Log,
    life: &'a mut Life,
    shared: &'a mut Shared,
}

impl Hands<'_> {
    /// One step nearer to a planned death; `true` when it is there, and nothing more may be done.
    fn burn(&mut self) -> bool {
        if self.life.dead {
            return true;
        }
        match &mut self.life.fuse {
            None => {}
            Some(0) => self.life.dead = true,
            Some(steps) => *steps -= 1,
        }
        self.life.dead
    }

    /// Asks for blocks that are missing, if nobody is being asked.
    fn catch_up(&mut self) {
        let tip = self.life.tip();
        while let Some(asked) = self.life.sync.ask(tip, &mut self.shared.rng) {
            let sync::Asked { number, peer, from, to } = asked;
            let range = ValueRequest::new(Height(from)..=Height(to));
            self.shared.send(self.index, peer, Message::Request(number, Request::ValueRequest(range)));
            let overdue = Event::Overdue { node: self.index, life: self.number, number };
            self.shared.at(self.shared.now + sync::PATIENCE, overdue);
        }
    }

    /// Tells everybody how high it is.
    fn announce(&mut self) {
        let (tip_height, history_min_height) = (Height(self.life.tip()), Height(1));
        let status = Status { peer_id: self.shared.peer(self.index), tip_height, history_min_height };
        self.shared.publish(self.index, Message::Status(status));
    }
}
