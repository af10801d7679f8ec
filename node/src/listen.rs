//! The node's addresses, claimed before anything else is started: a port that somebody else has stops the start with a word about which and what to do.
//!
//! The API's and the gateway's sockets are bound here and listen later, so that nobody waits behind a door that is not served yet. The network's address is
//! only tried: the engine shares its port with whoever also allows it, another node of ours among them, so nobody but us would notice. Every socket
//! allows its address to be used again (`SO_REUSEADDR`), which on Linux never shares it with one that listens and spares a node that was killed the wait
//! for its old connections. Called by `lib.rs`.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({setting} in config.toml): {}", reason(.error))]
pub struct ListenError {
    /// The key in the configuration.
    pub setting: &'static str,
    /// Which address.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

fn reason(error: &io::Error) -> String {
    let kind = error.kind();
    let advice = if kind == ErrorKind::AddrInUse {
        ". Another program has it, perhaps another wattd: stop that one, or choose another address or port"
    } else if kind == ErrorKind::AddrNotAvailable {
        ". It is no address of this machine: choose one that is"
    } else if kind == ErrorKind::PermissionDenied {
        ". Choose a port from 1024 on"
    } else {
        ""
    };
    format!("{error}{advice}")
}

/// The addresses of one node.
#[derive(Debug, Default)]
pub struct Addresses(Vec<(&'static str, SocketAddr)>);

/// A bound socket that does not listen yet.
#[derive(Debug)]
pub struct Claim {
    setting: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
}

impl Addresses {
    /// Binds an address.
    ///
    /// # Errors
    /// [`ListenError`]: somebody else listens there, or this node on another's behalf.
    pub fn claim(&mut self, setting: &'static str, address: SocketAddr) -> Result<Claim, ListenError> {
        let failed = |error| ListenError { setting, address, error };
        if let Some((other, _)) = self.0.iter().find(|(_, other)| overlap(*other, address)) {
            let message = format!("{other} names the same address: choose another port for one of them");
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, message)));
        }
        self.0.push((setting, address));
        bind(address).map(|socket| Claim { setting, address, socket }).map_err(failed)
    }
}

/// Tries an address that another part will bind, and lets go of it again.
///
/// # Errors
/// [`ListenError`]: somebody listens there.
pub fn require_free(setting: &'static str, address: SocketAddr) -> Result<(), ListenError> {
    bind(address).map(drop).map_err(|error| ListenError { setting, address, error })
}

impl Claim {
    /// The address, as configured.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// [`ListenError`]: somebody else was quicker since.
    pub fn listen(self) -> Result<TcpListener, ListenError> {
        let Self { setting, address, socket } = self;
        socket.listen(BACKLOG).map_err(|error| ListenError { setting, address, error })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Whether two addresses cannot both be listened on; port 0 is any free one.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_ip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_somebody_listens_on_is_refused_with_its_setting_and_what_to_do() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap();
        let error = Addresses::default().claim("api.listen", taken).unwrap_err();
        assert_eq!((error.setting, error.error.kind()), ("api.listen", ErrorKind::AddrInUse));
        for word in [&taken.to_string(), "api.listen in config.toml", "os error", "stop that one, or choose another"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(require_free("network.listen", taken).is_err());
        drop(other);
        require_free("network.listen", taken).unwrap();
        let mut addresses = Addresses::default();
        let claim = addresses.claim("api.listen", taken).unwrap();
        let error = addresses.claim("gateway.listen", SocketAddr::from(([0, 0, 0, 0], taken.port()))).unwrap_err();
        assert!(error.to_string().contains("api.listen names the same address"), "{error}");
        drop(claim.listen().unwrap());
    }
}
