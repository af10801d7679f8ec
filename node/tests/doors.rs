//! What a listening socket bears: connections too many, that rest, or that send a head byte by byte.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use node::api::{Bounds, Door};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
/// Far beyond everything that is waited for.
const WAIT: Duration = Duration::from_secs(60);

async fn open(bounds: Bounds) -> (SocketAddr, Counter, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = Door::new("test", listener, bounds);
    let refused = door.refused();
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        "late"
    };
    let serving = tokio::spawn(door.serve(Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow))));
    (address, refused, serving)
}

/// Everything until the other end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset closes as well.
    let _ = tokio::time::timeout(WAIT, stream.read_to_end(&mut bytes)).await.expect("closed in time");
    String::from_utf8(bytes).unwrap()
}

async fn answer(stream: &mut TcpStream, word: &str) {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).ends_with(word) {
        assert_ne!(tokio::time::timeout(WAIT, stream.read_buf(&mut text)).await.unwrap().unwrap(), 0, "an answer");
    }
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_and_those_that_stand_go_on() {
    let (address, refused, _) = open(Bounds { connections: 9, per_client: 2, head: WAIT }).await;
    let mut standing = TcpStream::connect(address).await.unwrap();
    standing.write_all(GET).await.unwrap();
    answer(&mut standing, "here").await;
    let idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(rest(&mut TcpStream::connect(address).await.unwrap()).await, "");
    assert_eq!(refused.get(), 1);
    standing.write_all(GET).await.unwrap();
    answer(&mut standing, "here").await;
    drop(idle);
    // Its place is free once the door has seen it go.
    tokio::time::timeout(WAIT, async {
        loop {
            let mut next = TcpStream::connect(address).await.unwrap();
            let _ = next.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            if rest(&mut next).await.ends_with("here") {
                break;
            }
        }
    })
    .await
    .expect("a free place");
}

#[tokio::test]
async fn whoever_sends_nothing_or_a_head_by_drops_or_rests_after_an_answer_is_cut_off_and_a_slow_answer_is_not() {
    let (address, _, _) = open(Bounds { connections: 9, per_client: 9, head: Duration::from_millis(300) }).await;
    assert_eq!(rest(&mut TcpStream::connect(address).await.unwrap()).await, "");
    let mut dribbling = TcpStream::connect(address).await.unwrap();
    let cut = tokio::time::timeout(WAIT, async {
        for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            if dribbling.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    cut.await.expect("it is cut off");
    let mut resting = TcpStream::connect(address).await.unwrap();
    resting.write_all(GET).await.unwrap();
    assert!(rest(&mut resting).await.ends_with("here"));
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    answer(&mut slow, "late").await;
}

#[tokio::test]
async fn a_door_that_closes_finishes_its_answers_and_takes_no_further_request() {
    let (address, _, serving) = open(Bounds { connections: 9, per_client: 9, head: WAIT }).await;
    let mut resting = TcpStream::connect(address).await.unwrap();
    resting.write_all(GET).await.unwrap();
    answer(&mut resting, "here").await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // It is being answered once it has been read, which the next answer of the same door shows.
    tokio::time::sleep(Duration::from_millis(100)).await;
    resting.write_all(GET).await.unwrap();
    answer(&mut resting, "here").await;
    serving.abort();
    assert_eq!(rest(&mut resting).await, "", "closed by the door, with nobody asking");
    assert!(rest(&mut slow).await.ends_with("late"));
}
