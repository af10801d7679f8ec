//! The fixed texts that a unit sends to its modem and through it to the gateway.
//!
//! They have names because a board such as the ATmega keeps them in its flash, which Rust cannot borrow from: it puts `as_bytes` there when it is compiled. Written
//! by [`crate::Station`] through [`crate::Serial`].

/// A fixed text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Text {
    /// Echo off, which is also how the modem is found.
    EchoOff,
    /// Wi-Fi client.
    StationMode,
    /// Address from the network.
    Dhcp,
    /// Address given, up to the first quote of it.
    StaticAddress,
    /// Join a network, up to its name.
    Join,
    /// Open a connection, up to the host.
    Connect,
    /// Announce so many bytes.
    Announce,
    /// Close the connection.
    Close,
    /// Restart the modem.
    Reset,
    /// Between two quoted values.
    QuoteCommaQuote,
    /// After the last quoted value, before a number.
    QuoteComma,
    /// The end of a line after a quoted value.
    QuoteLine,
    /// The end of a line.
    Line,
    /// A request for the configuration, up to its digits.
    GetConfig,
    /// Readings, up to the host.
    PostReadings,
    /// From the digits of a request to the host.
    VersionHost,
    /// From the host to the length of a body.
    BodyLength,
    /// The end of a request's head.
    HeadEnd,
}

impl Text {
    /// Every text, in the order of the numbers.
    pub const ALL: [Self; 18] = [
        Self::EchoOff,
        Self::StationMode,
        Self::Dhcp,
        Self::StaticAddress,
        Self::Join,
        Self::Connect,
        Self::Announce,
        Self::Close,
        Self::Reset,
        Self::QuoteCommaQuote,
        Self::QuoteComma,
        Self::QuoteLine,
        Self::Line,
        Self::GetConfig,
        Self::PostReadings,
        Self::VersionHost,
        Self::BodyLength,
        Self::HeadEnd,
    ];

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::EchoOff => b"ATE0\r\n",
            Self::StationMode => b"AT+CWMODE_CUR=1\r\n",
            Self::Dhcp => b"AT+CWDHCP_CUR=1,1\r\n",
            Self::StaticAddress => b"AT+CIPSTA_CUR=\"",
            Self::Join => b"AT+CWJAP_CUR=\"",
            Self::Connect => b"AT+CIPSTART=\"TCP\",\"",
            Self::Announce => b"AT+CIPSEND=",
            Self::Close => b"AT+CIPCLOSE\r\n",
            Self::Reset => b"AT+RST\r\n",
            Self::QuoteCommaQuote => b"\",\"",
            Self::QuoteComma => b"\",",
            Self::QuoteLine => b"\"\r\n",
            Self::Line => b"\r\n",
            Self::GetConfig => b"GET /unit/v1/config?m=",
            Self::PostReadings => b"POST /unit/v1/readings HTTP/1.0\r\nContent-Type: application/octet-stream\r\nHost: ",
            Self::VersionHost => b" HTTP/1.0\r\nHost: ",
            Self::BodyLength => b"\r\nContent-Length: ",
            Self::HeadEnd => b"\r\n\r\n",
        }
    }
}
