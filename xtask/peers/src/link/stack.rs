//! What every stack offers to the work that is done over it.

use std::net::SocketAddr;

use super::request::Request;
use crate::Result;

/// A way to carry requests and replies.
pub(crate) trait Stack: Send + Sized + 'static {
    /// Serves for ever, once it has told where.
    fn serve(announce: impl FnOnce(SocketAddr)) -> impl Future<Output = Result<()>>;

    /// Connects to a server of the same stack; returns when the handshake is
    /// done.
    fn connect(server: SocketAddr) -> impl Future<Output = Result<Self>> + Send;

    /// Another handle of the same connection, for one more exchange at the
    /// same time; `None` where a connection is one stream.
    fn another(&self) -> Option<Self>;

    /// Sends a request, on a stream of its own where there are streams, and
    /// hands each piece of the reply to `taken`.
    fn exchange(
        &mut self,
        request: Request,
        taken: impl FnMut(&[u8]) + Send,
    ) -> impl Future<Output = Result<()>> + Send;
}
