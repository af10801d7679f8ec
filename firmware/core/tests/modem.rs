//! The modem's dialogue and the answer in it, byte by byte.
#![allow(clippy::unwrap_used, reason = "tests panic to fail")]

use firmware_core::{Action, Command, Modem, Progress, Response};

fn hear(modem: &mut Modem, now_ms: u32, text: &str) -> Vec<Action> {
    text.bytes().filter_map(|byte| modem.receive(now_ms, byte)).collect()
}

/// A modem in the network.
fn idle() -> Modem {
    let mut modem = Modem::new();
    assert_eq!(modem.poll(0), None);
    assert_eq!(modem.poll(5_000), None, "rested");
    let expected = [Command::EchoOff, Command::StationMode, Command::Address, Command::Join];
    for command in expected {
        assert_eq!(modem.poll(5_000), Some(Action::Write(command)));
        assert_eq!(hear(&mut modem, 5_000, "ATE0\r\n\r\nOK\r\n"), [], "an echo is passed over");
    }
    assert!(modem.is_idle());
    modem
}

fn connected() -> Modem {
    let mut modem = idle();
    modem.open(6_000);
    assert_eq!(modem.poll(6_000), Some(Action::Write(Command::Connect)));
    hear(&mut modem, 6_000, "CONNECT\r\n\r\nOK\r\n");
    assert_eq!(modem.poll(6_000), Some(Action::Write(Command::Announce)));
    assert_eq!(hear(&mut modem, 6_000, "\r\nOK\r\n> "), [Action::WriteRequest]);
    modem.written(6_010);
    hear(&mut modem, 6_020, "\r\nRecv 64 bytes\r\n\r\nSEND OK\r\n");
    modem
}

fn text(actions: &[Action]) -> String {
    actions.iter().filter_map(|action| if let Action::Payload(byte) = action { Some(char::from(*byte)) } else { None }).collect()
}

#[test]
fn joins_sends_and_hands_out_the_payload_alone() {
    let mut modem = connected();
    let actions = hear(&mut modem, 6_100, "\r\n+IPD,5:HTTP/\r\n+IPD,6:1.0\r\nxCLOSED\r\n");
    assert_eq!(text(&actions), "HTTP/1.0\r\nx");
    assert_eq!(actions.last(), Some(&Action::Ended));
    assert!(modem.is_idle());
}

#[test]
fn closes_what_the_other_end_leaves_open() {
    let mut modem = connected();
    modem.close(6_100);
    assert_eq!(modem.poll(6_200), None, "a moment for the other end");
    assert_eq!(modem.poll(7_100), None);
    assert_eq!(modem.poll(7_100), Some(Action::Write(Command::Close)));
    hear(&mut modem, 7_110, "\r\nERROR\r\n");
    assert!(modem.is_idle(), "closed already is as good");
}

#[test]
fn a_lost_network_and_a_restart_end_the_exchange_and_join_again() {
    for words in ["WIFI DISCONNECT\r\n", "\r\n ets Jan  8 2013,rst cause:1\r\nready\r\n"] {
        let mut modem = connected();
        assert_eq!(hear(&mut modem, 7_000, words), [Action::Ended], "{words}");
        assert!(!modem.is_idle());
        let mut written = Vec::new();
        for ms in (7_000..20_000).step_by(10) {
            if let Some(Action::Write(command)) = modem.poll(ms) {
                written.push(command);
                hear(&mut modem, ms, "\r\nOK\r\n");
            }
        }
        assert_eq!(written, [Command::EchoOff, Command::StationMode, Command::Address, Command::Join]);
        assert!(modem.is_idle());
    }
}

#[test]
fn a_modem_that_never_answers_is_restarted_and_asked_again_for_ever() {
    let mut modem = Modem::new();
    let written: Vec<Command> = (0..120_000)
        .step_by(10)
        .filter_map(|ms| if let Some(Action::Write(command)) = modem.poll(ms) { Some(command) } else { None })
        .collect();
    assert!(written.iter().filter(|command| **command == Command::Reset).count() >= 4, "{written:?}");
    assert!(written.iter().filter(|command| **command == Command::EchoOff).count() >= 12, "{written:?}");
}

#[test]
fn an_answer_is_complete_with_its_last_byte_and_broken_without_a_length() {
    let feed = |text: &str| {
        let mut response = Response::new();
        let mut progress = Progress::More;
        for byte in text.bytes() {
            progress = response.push(byte);
            if progress != Progress::More {
                break;
            }
        }
        (progress, response.status(), response.body().to_vec())
    };
    let ok = "HTTP/1.1 200 OK\r\nServer: x:y 12\r\nContent-Length: 3\r\nDate: Fri, 16 Jan 2026 16:00:00 GMT\r\n\r\nabc";
    assert_eq!(feed(ok), (Progress::Complete, 200, b"abc".to_vec()));
    assert_eq!(feed(&ok[..ok.len() - 1]).0, Progress::More);
    assert_eq!(feed("HTTP/1.0 404 Not Found\r\n\r\n"), (Progress::Complete, 404, Vec::new()));
    assert_eq!(feed("HTTP/1.0 200 OK\r\n\r\n").0, Progress::Broken);
    assert_eq!(feed("HTTP/1.0 200 OK\r\ncontent-length: 105\r\n\r\n").0, Progress::Broken);
    assert_eq!(feed("SSH-2.0-OpenSSH\r\n").0, Progress::Broken);
    assert_eq!(feed(&format!("HTTP/1.0 200 OK\r\n{}", "x-filler: 1\r\n".repeat(400))).0, Progress::Broken, "no end of the head");
}
