//! How a server is addressed.

use std::fmt;
use std::str::FromStr;

use antiphon_types::NodeId;

/// `antiphon://HOST:PORT/NODEID`: where a server is and who it is. Whoever has
/// the link can authenticate the server without any authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLink {
    /// Name or address of the host; an IPv6 address without its brackets.
    pub host: String,
    /// Port, of TCP and of UDP.
    pub port: u16,
    /// The server's key.
    pub node: NodeId,
}

/// Why a text is not a link to a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{link:?} is not a link to a server: {problem}; \
     expected antiphon://HOST:PORT/NODEID as `antiphon-server run` prints it"
)]
pub struct ParseLinkError {
    link: String,
    problem: &'static str,
}

impl ServerLink {
    /// `HOST:PORT`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for ServerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "antiphon://{}/{}", self.address(), self.node)
    }
}

impl FromStr for ServerLink {
    type Err = ParseLinkError;

    fn from_str(link: &str) -> Result<Self, ParseLinkError> {
        let fail = |problem| ParseLinkError { link: link.chars().take(200).collect(), problem };
        let rest = link.trim().strip_prefix("antiphon://").ok_or(fail("it begins otherwise"))?;
        let (address, node) = rest.split_once('/').ok_or(fail("the node id is missing"))?;
        let node = node
            .trim_end_matches('/')
            .parse()
            .map_err(|_| fail("the node id is not 64 hexadecimal digits"))?;
        let (host, port) = address.rsplit_once(':').ok_or(fail("the port is missing"))?;
        let port = port.parse().map_err(|_| fail("the port is not a number up to 65535"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(['/', '@', ' ', '[', ']']) {
            return Err(fail("the host is malformed"));
        }
        Ok(Self { host: host.to_owned(), port, node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_survive_being_printed_and_read() {
        for host in ["music.example", "127.0.0.1", "::1"] {
            let link = ServerLink { host: host.to_owned(), port: 7700, node: NodeId::new([9; 32]) };
            assert_eq!(link.to_string().parse(), Ok(link));
        }
    }

    #[test]
    fn what_is_wrong_with_a_link_is_said() {
        let node = NodeId::new([9; 32]);
        for (link, problem) in [
            ("http://a:1/".to_owned(), "begins otherwise"),
            ("antiphon://a:1".to_owned(), "node id is missing"),
            ("antiphon://a:1/beef".to_owned(), "64 hexadecimal"),
            (format!("antiphon://a/{node}"), "port is missing"),
            (format!("antiphon://a:99999/{node}"), "up to 65535"),
            (format!("antiphon://:1/{node}"), "host is malformed"),
        ] {
            let error = link.parse::<ServerLink>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
