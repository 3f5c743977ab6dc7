//! One HTTP request to a router: a small answer, in time, or none.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;

/// How long a request may take in all.
const PATIENCE: Duration = Duration::from_secs(4);

/// The longest answer. Descriptions have 3 to 30 kB.
const MAX_ANSWER_BYTES: usize = 128 * 1024;

/// The longest path that is asked for.
const MAX_PATH_BYTES: usize = 512;

/// Something of a router: `http://ADDRESS:PORT/PATH`, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) host: SocketAddrV4,
    pub(super) path: String,
}

impl Url {
    /// Reads one, with an address in place of a name: a name would have to be
    /// looked up, and a router has no need of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = host
            .parse()
            .or_else(|_| host.parse::<Ipv4Addr>().map(|ip| SocketAddrV4::new(ip, 80)))
            .ok()?;
        Some(Self { host, path: checked(path)? })
    }

    /// What `text` means on the page of this one. It must be of the same router.
    pub(super) fn join(&self, text: &str) -> Option<Self> {
        if text.starts_with("http:") {
            return Self::parse(text).filter(|url| url.host.ip() == self.host.ip());
        }
        Some(Self { host: self.host, path: checked(text)? })
    }
}

/// A path that can stand in a request without saying anything else.
fn checked(path: &str) -> Option<String> {
    let path = format!("/{}", path.strip_prefix('/').unwrap_or(path)).replace("&amp;", "&");
    let fits = path.len() <= MAX_PATH_BYTES && path.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(path)
}

/// The status and the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Fetches a page.
pub(super) async fn get(url: &Url) -> Result<Answer, Failure> {
    request(url, format!("GET {} HTTP/1.1\r\nHost: {}\r\n", url.path, url.host), "").await
}

/// Sends a SOAP `action`, with quotation marks.
pub(super) async fn post(url: &Url, action: &str, body: &str) -> Result<Answer, Failure> {
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n\
         SOAPAction: {action}\r\nContent-Length: {}\r\n",
        url.path,
        url.host,
        body.len()
    );
    request(url, head, body).await
}

async fn request(url: &Url, mut head: String, body: &str) -> Result<Answer, Failure> {
    head.push_str("Connection: close\r\n\r\n");
    head.push_str(body);
    let exchange = async {
        let mut stream = TcpStream::connect(url.host).await.map_err(Failure::io)?;
        stream.write_all(head.as_bytes()).await.map_err(Failure::io)?;
        let mut received = Vec::new();
        loop {
            if let Some(answer) = parse(&received, false)? {
                return Ok(answer);
            }
            let room = MAX_ANSWER_BYTES.saturating_sub(received.len());
            let read = (&mut stream).take(room as u64).read_buf(&mut received).await;
            // Some routers reset the connection behind a whole answer.
            if !matches!(read, Ok(1..)) {
                return parse(&received, true)?.ok_or(Failure::Garbage);
            }
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or(Err(Failure::Silent))
}

/// Reads an answer; `None` if more must come. At the `end` what has come is all.
fn parse(received: &[u8], end: bool) -> Result<Option<Answer>, Failure> {
    let Some(length) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..length]).map_err(|_| Failure::Garbage)?;
    let body = &received[length + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| {
        let (version, rest) = line.split_once(' ')?;
        version.starts_with("HTTP/1.").then(|| rest.get(..3)?.parse().ok())?
    });
    let status = status.ok_or(Failure::Garbage)?;
    let header = |name: &str| {
        let of_name = |line: &&str| {
            line.split_once(':').is_some_and(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        };
        lines.clone().find(of_name).and_then(|line| Some(line.split_once(':')?.1.trim()))
    };
    let body = if header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked"))
    {
        chunks(body)?
    } else if let Some(length) = header("content-length") {
        let length: usize = length.parse().map_err(|_| Failure::Garbage)?;
        body.get(..length).map(<[u8]>::to_vec)
    } else {
        end.then(|| body.to_vec())
    };
    let Some(body) = body else { return Ok(None) };
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Answer { status, body }))
}

/// Joins the chunks of a body (RFC 9112 section 7.1); `None` if more must come.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = Vec::new();
    loop {
        let Some(length) = rest.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&rest[..length]).map_err(|_| Failure::Garbage)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Failure::Garbage)?;
        if size == 0 {
            return Ok(Some(body));
        }
        if size > MAX_ANSWER_BYTES {
            return Err(Failure::Garbage);
        }
        rest = &rest[length + 2..];
        let Some(chunk) = rest.get(..size) else { return Ok(None) };
        body.extend(chunk);
        let Some(after) = rest.get(size + 2..) else { return Ok(None) };
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_name_the_router_and_nobody_else() {
        let url = Url::parse("http://192.168.1.1:5000/root.xml").unwrap();
        assert_eq!(url.host, "192.168.1.1:5000".parse().unwrap());
        assert_eq!(url.path, "/root.xml");
        assert_eq!(Url::parse("http://192.168.1.1").unwrap().host.port(), 80);
        for text in [
            "https://192.168.1.1/",
            "http://router.local/",
            "http://192.168.1.1:5000/a b",
            "http://192.168.1.1/a\r\nHost: other",
            "http://user@192.168.1.1/",
            "http://[::1]/",
            "",
        ] {
            assert_eq!(Url::parse(text), None, "{text:?}");
        }
        assert_eq!(url.join("/ctl?a=1&amp;b").unwrap().path, "/ctl?a=1&b");
        assert_eq!(url.join("ctl").unwrap().path, "/ctl");
        let other_port = url.join("http://192.168.1.1:80/ctl").unwrap();
        assert_eq!(other_port.host.port(), 80);
        assert_eq!(url.join("http://192.168.1.2:80/ctl"), None);
        assert_eq!(url.join(&"a".repeat(600)), None);
    }

    #[test]
    fn answers_are_read_in_all_their_forms() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.0 200 OK\r\ncontent-length:5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ] {
            let whole = Answer { status: 200, body: "hello".to_owned() };
            assert_eq!(parse(answer.as_bytes(), false), Ok(Some(whole)), "{answer:?}");
        }
        let open = b"HTTP/1.1 500 No\r\n\r\nhello";
        assert_eq!(parse(open, false), Ok(None));
        let whole = Answer { status: 500, body: "hello".to_owned() };
        assert_eq!(parse(open, true), Ok(Some(whole)));
    }

    proptest! {
        /// A router may send anything.
        #[test]
        fn nothing_panics(tail in prop::collection::vec(any::<u8>(), 0..60), at in 0..3_usize) {
            let head = [
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\n",
                "HTTP/1.1 ",
            ][at];
            let received = [head.as_bytes(), &tail].concat();
            let _ = parse(&received, true);
            let _ = parse(&received, false);
        }
    }
}
