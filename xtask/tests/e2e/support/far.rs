//! A server at the other end of a link with a rate and a delay.

use std::process::Command;
use std::time::Duration;

use xtask::lab::link::{Link, Options, Side};
use xtask::lab::shape::Shape;
use xtask::lab::units::Rate;

use super::{Listener, Process, music, programs};

/// A server with the songs on side A, listeners on side B.
pub(crate) struct Far {
    /// Before the folder that it writes to, since that goes last.
    server: Process,
    pub(crate) link: Link,
    address: String,
    folder: tempfile::TempDir,
}

/// A link of that rate, both ways.
pub(crate) fn shape(bits_per_second: u64, delay_ms: u64) -> Shape {
    Shape {
        rate: Rate::bits_per_second(bits_per_second),
        delay: Duration::from_millis(delay_ms),
        ..Shape::default()
    }
}

impl Far {
    /// Starts the server.
    pub(crate) fn start(shape: Shape) -> Self {
        let options = Options { a_to_b: shape, b_to_a: shape, ..Options::default() };
        let link = Link::new(&options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("server");
        music().copy_to(&data);
        let mut run = Command::new(&programs().server);
        let listen = format!("{}:0", Side::A.address());
        run.arg("--data-dir").arg(&data).args(["run", "--open", "--listen", &listen]);
        let mut server = Process::start_by(folder.path(), "server", &mut run, |command| {
            link.spawn(Side::A, command).unwrap()
        });
        let address = server.wait_for_line("the server's link");
        Self { server, link, address, folder }
    }

    /// A listener who has logged in, without peers.
    pub(crate) fn listener(&self, name: &str) -> Listener {
        let listener = Listener::new(self.folder.path(), name);
        let login = ["--peers", "off", "login", &self.address];
        assert!(self.run(&listener, name, &login).wait().success());
        listener
    }

    /// Starts a command of a listener's.
    pub(crate) fn run(&self, listener: &Listener, name: &str, arguments: &[&str]) -> Process {
        Process::start_by(self.folder.path(), name, &mut listener.command(arguments), |command| {
            self.link.spawn(Side::B, command).unwrap()
        })
    }

    /// Ends it all; the link must have held.
    pub(crate) fn close(self) {
        drop(self.server);
        self.link.close().unwrap();
    }
}
