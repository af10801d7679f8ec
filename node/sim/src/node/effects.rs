//! What the engine's state machine asks for, carried out as the engine's actors do: what must be in the log is synced before it is sent or decided.

use std::time::Duration;

use arc_malachitebft_app_channel::{
    AppMsg,
    app::{
        consensus::{ConsensusMsg, Effect, Input, LivenessMsg, Resumable, Resume, SignedConsensusMsg},
        types::core::{self as engine, Timeouts, ValueOrigin},
    },
};
use arc_malachitebft_signing::{Signer as _, Verifier as _, VerifierExt as _};
use consensus::context::Context;
use futures::executor::block_on;
use tokio::sync::oneshot;

use super::{Hands, life::Awaited};
use crate::{message::Message, oracle::round_number, plan::Sabotage, shared::Event};

/// The process died before this effect.
#[derive(Debug)]
pub(super) struct Died;

impl Hands<'_> {
    pub(super) fn effect(&mut self, effect: Effect<Context>) -> Result<Resume<Context>, Died> {
        if self.burn() {
            return Err(Died);
        }
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => {
                self.life.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.life.timers.remove(&timeout);
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                self.schedule(timeout);
                r.resume_with(())
            }
            Effect::StartRound(height, round, proposer, role, r) => {
                self.sync_log();
                // The engine waits for this answer, and so for all that were asked before.
                while let Some((question, awaited)) = self.life.questions.pop_front() {
                    self.put(question, awaited);
                }
                let (reply_value, mut answer) = oneshot::channel();
                self.put(AppMsg::StartedRound { height, round, proposer, role, reply_value }, Awaited::Nothing);
                for value in answer.try_recv().unwrap_or_default() {
                    self.input(Input::ProposedValue(value, ValueOrigin::Consensus));
                }
                if round_number(round) > 0 {
                    self.shared.count("rounds after the first, over all nodes");
                }
                self.shared.trace("round", &[self.index as u64, height.0, u64::from(round_number(round))], &[]);
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(message, r) => {
                self.sync_log();
                self.signed(&message);
                self.shared.publish(self.index, Message::Consensus(message));
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                if let LivenessMsg::Vote(vote) = &message {
                    self.signed(&SignedConsensusMsg::Vote(vote.clone()));
                }
                self.shared.publish(self.index, Message::Liveness(message));
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                self.signed(&SignedConsensusMsg::Vote(vote.clone()));
                self.shared.publish(self.index, Message::Liveness(LivenessMsg::Vote(vote)));
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, r) => {
                self.shared.publish(self.index, Message::Liveness(LivenessMsg::SkipRoundCertificate(certificate)));
                r.resume_with(())
            }
            Effect::GetValue(height, round, timeout, r) => {
                let (reply, answer) = oneshot::channel();
                let timeout = duration(&self.life.timeouts, timeout);
                self.ask(AppMsg::GetValue { height, round, timeout, reply }, Awaited::Value(answer));
                r.resume_with(())
            }
            Effect::RestreamProposal(height, round, valid_round, address, value_id, r) => {
                self.ask(AppMsg::RestreamProposal { height, round, valid_round, address, value_id }, Awaited::Nothing);
                r.resume_with(())
            }
            Effect::SignVote(vote, r) => r.resume_with(block_on(self.keys.sign_vote(vote)).expect("a vote of a round can be signed")),
            Effect::SignProposal(proposal, r) => {
                r.resume_with(block_on(self.keys.sign_proposal(proposal)).expect("a proposal of a round can be signed"))
            }
            Effect::VerifySignature(message, key, r) => {
                let signature = message.signature;
                let verdict = match message.message {
                    ConsensusMsg::Vote(vote) => block_on(self.signatures.verify_signed_vote(&vote, &signature, &key)),
                    ConsensusMsg::Proposal(proposal) => block_on(self.signatures.verify_signed_proposal(&proposal, &signature, &key)),
                };
                let good = verdict.is_ok_and(|verdict| verdict.is_valid());
                if !good {
                    self.shared.count("signatures refused");
                }
                r.resume_with(good || self.trusts(Sabotage::TrustVotes))
            }
            Effect::VerifyCommitCertificate(certificate, set, thresholds, r) => {
                let verdict = block_on(self.signatures.verify_commit_certificate(&Context, &certificate, &set, thresholds));
                r.resume_with(if self.trusts(Sabotage::TrustVotes) { Ok(()) } else { verdict })
            }
            Effect::VerifyExtendedCommitCertificate(certificate, set, thresholds, policy, r) => {
                let verdict =
                    block_on(self.signatures.verify_extended_commit_certificate(&Context, &certificate, &set, thresholds, policy));
                let verdict = self.counted(verdict);
                r.resume_with(if self.trusts(Sabotage::TrustCertificates) { Ok(()) } else { verdict })
            }
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, r) => {
                let verdict = block_on(self.signatures.verify_polka_certificate(&Context, &certificate, &set, thresholds));
                r.resume_with(self.counted(verdict))
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, r) => {
                let verdict = block_on(self.signatures.verify_round_certificate(&Context, &certificate, &set, thresholds));
                r.resume_with(self.counted(verdict))
            }
            Effect::WalAppend(height, entry, r) => {
                let writes = !self.life.replaying && self.life.votes;
                if writes && let Err(error) = self.log.append(height.0, entry) {
                    self.stopped(format!("an entry cannot be written to the log: {error}"));
                }
                r.resume_with(())
            }
            Effect::Decide(certificate, extensions, r) => {
                self.sync_log();
                self.decided(&certificate);
                let (reply, answer) = oneshot::channel();
                self.ask(AppMsg::Decided { certificate, extensions, reply }, Awaited::Decided(answer));
                r.resume_with(())
            }
            Effect::Finalize(certificate, extensions, evidence, r) => {
                let votes: Vec<_> = evidence.votes.iter().map(|(address, _)| *address).collect();
                let proposals: Vec<_> = evidence.proposals.iter().map(|(address, _)| *address).collect();
                self.shared.stats.count("liars proven by two votes", votes.len() as u64);
                self.shared.stats.count("liars proven by two proposals", proposals.len() as u64);
                for address in votes.into_iter().chain(proposals) {
                    let verdict = self.shared.accused(&address.0);
                    self.shared.require(verdict);
                }
                let (reply, answer) = oneshot::channel();
                self.ask(AppMsg::Finalized { certificate, extensions, evidence, reply }, Awaited::Next(answer));
                r.resume_with(())
            }
            Effect::CertVerifiedSyncValue(value, proposer, r) => {
                let (height, round, id) = (value.certificate.height, value.certificate.round, value.certificate.value_id);
                let (reply, answer) = oneshot::channel();
                let question = AppMsg::ProcessSyncedValue { height, round, proposer, value_bytes: value.value_bytes, reply };
                self.ask(question, Awaited::Synced { reply: answer, height, round, id });
                r.resume_with(())
            }
            Effect::CertRejectedSyncValue(_, height, _, r) => {
                self.life.sync.refused(height.0);
                r.resume_with(())
            }
            // The policy is off at every height.
            Effect::ExtendVote(.., r) => r.resume_with(None),
            Effect::VerifyVoteExtension(.., r) => r.resume_with(Ok(())),
        })
    }

    pub(super) fn trusts(&self, sabotage: Sabotage) -> bool {
        self.shared.plan.sabotage == Some(sabotage)
    }

    fn counted<T>(&mut self, verdict: Result<(), T>) -> Result<(), T> {
        if verdict.is_err() {
            self.shared.count("certificates refused");
        }
        verdict
    }

    fn schedule(&mut self, timeout: engine::Timeout) {
        let span = duration(&self.life.timeouts, timeout);
        self.life.timer_numbers += 1;
        let number = self.life.timer_numbers;
        self.life.timers.insert(timeout, number);
        let at = self.shared.now + u64::try_from(span.as_micros()).unwrap_or(u64::MAX / 2);
        self.shared.at(at, Event::Timer { node: self.index, life: self.number, timeout, number });
    }

    fn sync_log(&mut self) {
        if !self.life.replaying && self.life.votes && !self.trusts(Sabotage::NeverSync) {
            self.log.sync();
        }
    }

    /// What an honest node shows is remembered, so that it cannot show otherwise.
    fn signed(&mut self, message: &SignedConsensusMsg<Context>) {
        if self.shared.is_honest(self.index) {
            let verdict = self.shared.oracle.published(self.index, message);
            self.shared.require(verdict);
        }
    }

    fn decided(&mut self, certificate: &engine::CommitCertificate<Context>) {
        self.shared.trace("decide", &[self.index as u64, certificate.height.0], &certificate.value_id.0.0);
        // A liar's too: it is the certificate that decides, and that needs more than liars.
        let bytes = self.life.stored(certificate.value_id);
        let now = self.shared.true_time();
        match self.shared.oracle.decided(self.index, certificate, bytes.as_deref(), now) {
            Ok(true) => {
                self.shared.stats.blocks += 1;
                let (height, round) = (certificate.height, round_number(certificate.round));
                self.shared.tell(|| format!("height {height} is decided in round {round}: {}", certificate.value_id));
            }
            Ok(false) => {}
            Err(failure) => self.shared.fail(failure),
        }
    }

    /// Whether a validator of the present set has signed it.
    pub(super) fn is_signed(&self, message: &SignedConsensusMsg<Context>) -> bool {
        let set = &self.shared.oracle.parent.validators;
        let verdict = match message {
            SignedConsensusMsg::Vote(signed) => {
                let voter = signed.message.voter;
                set.get(&voter.0).map(|_| block_on(self.signatures.verify_signed_vote(&signed.message, &signed.signature, &voter)))
            }
            SignedConsensusMsg::Proposal(signed) => {
                let proposer = signed.message.proposer;
                set.get(&proposer.0)
                    .map(|_| block_on(self.signatures.verify_signed_proposal(&signed.message, &signed.signature, &proposer)))
            }
        };
        verdict.is_some_and(|verdict| verdict.is_ok_and(|verdict| verdict.is_valid()))
    }
}

fn duration(timeouts: &engine::LinearTimeouts, timeout: engine::Timeout) -> Duration {
    Timeouts::<Context>::duration_for(timeouts, timeout)
}
