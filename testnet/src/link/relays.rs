//! Cables of the program's own: a TCP relay for each node and each of its peers.
//!
//! A node reaches another through a door of its own, so what passes between any two can be disturbed without privileges and the same on every system. It knows
//! bytes and connections, no messages: TCP loses none of what it carries, so messages are lost by breaking the connections that carry them. Both directions
//! of a pair are disturbed alike. Called by [`super::Links`].

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use super::Cable;

/// Connections through one door at once; nodes keep one or two.
const MAX_CONNECTIONS: usize = 32;

/// Bytes that are carried at once.
const CHUNK_BYTES: usize = 16 << 10;

/// The relays of a federation.
#[derive(Debug)]
pub struct Relays {
    nodes: usize,
    /// By (from, to), row by row.
    links: Vec<Link>,
    /// Their tasks, which end with this.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    door: SocketAddr,
    far_end: Arc<OnceLock<SocketAddr>>,
    cable: watch::Sender<Cable>,
}

impl Relays {
    /// Relays between so many nodes; all sound, and leading nowhere yet.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn new(nodes: usize) -> io::Result<Self> {
        let mut links = Vec::new();
        let mut tasks = JoinSet::new();
        for _ in 0..nodes * nodes {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let door = listener.local_addr()?;
            let (cable, state) = watch::channel(Cable::Sound);
            let far_end = Arc::new(OnceLock::new());
            tasks.spawn(relay(listener, Arc::clone(&far_end), state));
            links.push(Link { door, far_end, cable });
        }
        Ok(Self { nodes, links, _tasks: tasks })
    }

    /// Says where each node listens.
    pub fn lead_to(&self, nodes: &[SocketAddr]) {
        for (number, link) in self.links.iter().enumerate() {
            if let Some(address) = nodes.get(number % self.nodes.max(1)) {
                // Said once: a node that is started again listens where it did.
                let _ = link.far_end.set(*address);
            }
        }
    }

    /// Where a node reaches another.
    #[must_use]
    pub fn door(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.links.get(from * self.nodes + to).map(|link| link.door)
    }

    /// Makes these cables like this, by the nodes that they join; both directions of a pair are asked about.
    pub fn make(&self, cable: Cable, which: impl Fn(usize, usize) -> bool) {
        let nodes = self.nodes.max(1);
        for (number, link) in self.links.iter().enumerate() {
            if which(number / nodes, number % nodes) {
                link.cable.send_replace(cable);
            }
        }
    }
}

/// Carries what comes through a door until it is dropped.
async fn relay(listener: TcpListener, far_end: Arc<OnceLock<SocketAddr>>, cable: watch::Receiver<Cable>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                let Some(far_end) = far_end.get().copied() else { continue };
                // A door that is full or pulled closes what comes.
                if connections.len() < MAX_CONNECTIONS && *cable.borrow() != Cable::Pulled {
                    connections.spawn(carry(near, far_end, cable.clone()));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn carry(near: TcpStream, far_end: SocketAddr, cable: watch::Receiver<Cable>) {
    let Ok(far) = TcpStream::connect(far_end).await else { return };
    // Small messages are what consensus is made of.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let mut pulled = cable.clone();
    tokio::select! {
        () = pump(near_in, far_out, cable.clone()) => {}
        () = pump(far_in, near_out, cable) => {}
        _ = pulled.wait_for(|cable| *cable == Cable::Pulled) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cable: watch::Receiver<Cable>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        let state = *cable.borrow_and_update();
        match state {
            Cable::Sound => {}
            Cable::Slow(delay) => tokio::time::sleep(delay).await,
            Cable::Dead | Cable::Pulled => {
                if cable.wait_for(|cable| *cable != Cable::Dead).await.is_err() {
                    return;
                }
            }
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Two nodes of which the second answers everything with itself.
    async fn pair() -> (Relays, JoinSet<()>) {
        let links = Relays::new(2).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        links.lead_to(&[address, address]);
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (links, echo)
    }

    async fn say(stream: &mut TcpStream, word: &[u8; 4]) -> io::Result<[u8; 4]> {
        stream.write_all(word).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_dead_cable_carries_later_what_a_pulled_one_loses() {
        let (links, _echo) = pair().await;
        let door = links.door(0, 1).unwrap();
        let mut stream = TcpStream::connect(door).await.unwrap();
        assert_eq!(say(&mut stream, b"calm").await.unwrap(), *b"calm");

        links.make(Cable::Dead, |_, _| true);
        let waiting = tokio::spawn(async move {
            let answer = say(&mut stream, b"late").await;
            (stream, answer)
        });
        tokio::task::yield_now().await;
        links.make(Cable::Slow(Duration::from_millis(1)), |from, to| (from, to) != (1, 0));
        let (mut stream, answer) = waiting.await.unwrap();
        assert_eq!(answer.unwrap(), *b"late");

        links.make(Cable::Pulled, |_, _| true);
        assert!(say(&mut stream, b"lost").await.is_err());
        let mut refused = TcpStream::connect(door).await.unwrap();
        assert!(say(&mut refused, b"lost").await.is_err(), "a pulled cable has no new connections");

        links.make(Cable::Sound, |_, _| true);
        let mut stream = TcpStream::connect(door).await.unwrap();
        assert_eq!(say(&mut stream, b"back").await.unwrap(), *b"back");
    }
}
