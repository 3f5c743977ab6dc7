//! A TUN device: a network interface whose packets this process reads and
//! writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::libc;

/// Where the kernel offers TUN devices.
pub(super) const DEVICE: &str = "/dev/net/tun";

/// Makes the interface `name` in the network namespace of the calling thread.
///
/// Each read of the file gives one IP packet that the kernel sends, each write
/// hands it one that it receives; neither blocks. The interface is gone once
/// the file is closed.
///
/// # Errors
///
/// There is no TUN driver, this process may not use it, or the name is taken
/// or too long.
pub(super) fn open(name: &str) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)?;
    set_interface(&file, name)?;
    Ok(file)
}

#[expect(unsafe_code, reason = "no safe wrapper offers this call; nothing else in xtask is unsafe")]
fn set_interface(file: &File, name: &str) -> io::Result<()> {
    // TUNSETIFF, declared by the kernel as _IOW('T', 202, int) though it takes
    // an `ifreq`.
    nix::ioctl_write_ptr_bad!(
        tunsetiff,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        libc::ifreq
    );

    if name.len() >= libc::IFNAMSIZ || !name.is_ascii() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "interface name"));
    }
    // IFF_TUN: IP packets without a link layer. IFF_NO_PI: nothing before them.
    let flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)
        .expect("the two flags fit their field");
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::try_from(from).expect("ASCII fits");
    }
    // SAFETY: `file` is open for the whole call, and `request` is a whole
    // `ifreq` with a name that ends in 0, which the kernel reads and writes
    // only until the call returns.
    unsafe { tunsetiff(file.as_raw_fd(), &raw const request) }?;
    Ok(())
}
