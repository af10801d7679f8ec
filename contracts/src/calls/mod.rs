//! One file per call: its values, its checks, what it does, its tests.

pub mod answer_payment;
pub mod attest;
pub mod cancel_session;
pub mod clear_positions;
pub mod confirm_redeem;
pub mod grant_charge;
pub mod grant_role;
pub mod open_session;
pub mod pause_charge;
pub mod put_connector;
pub mod put_group;
pub mod put_tariff;
pub mod register_account;
pub mod report_fault;
pub mod report_payment;
pub mod request_redeem;
pub mod resume_charge;
pub mod revoke_role;
pub mod sell_tokens;
pub mod set_position_limit;
pub mod settle_session;
pub mod stop_session;
pub mod top_up_session;
pub mod transfer;
