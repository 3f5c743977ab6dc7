//! A private sound server, and what its device would make audible.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::wait_for;

/// A PulseAudio server with a null sink, and a recorder at the sink's monitor.
pub(crate) struct Ear {
    folder: PathBuf,
    server: Child,
    recorder: Child,
    recorded: PathBuf,
    times: u32,
}

impl Ear {
    /// Starts both. All that belongs to them lies in this folder, which is made.
    pub(crate) fn start(folder: &Path) -> Self {
        let folder = folder.to_owned();
        fs::create_dir(&folder).unwrap();
        // The server refuses a folder that others may look into.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let server = start_server(&folder);
        let recorded = folder.join("heard-0");
        let recorder = start_recorder(&folder, &recorded);
        Self { folder, server, recorder, recorded, times: 0 }
    }

    /// What `PULSE_SERVER` says.
    pub(crate) fn server(&self) -> String {
        server(&self.folder)
    }

    /// What was recorded since the server started, interleaved.
    pub(crate) fn heard(&self) -> Vec<i16> {
        let bytes = fs::read(&self.recorded).unwrap();
        let frames = bytes.chunks_exact(4).flat_map(|frame| frame.chunks_exact(2));
        frames.map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
    }

    /// How many frames that is.
    pub(crate) fn frames(&self) -> u64 {
        fs::metadata(&self.recorded).unwrap().len() / 4
    }

    /// Waits until so many more frames were recorded.
    pub(crate) fn wait_for_frames(&self, frames: u64) {
        let until = self.frames() + frames;
        wait_for("the recorder", || (self.frames() >= until).then_some(()));
    }

    /// `kill -9`
    pub(crate) fn kill_server(&mut self) {
        stop(&mut self.server);
        stop(&mut self.recorder);
    }

    /// Starts the server again, and a new recording.
    pub(crate) fn start_server_and_recorder(&mut self) {
        self.times += 1;
        self.recorded = self.folder.join(format!("heard-{}", self.times));
        self.server = start_server(&self.folder);
        self.recorder = start_recorder(&self.folder, &self.recorded);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.kill_server();
    }
}

fn stop(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

fn server(folder: &Path) -> String {
    format!("unix:{}", folder.join("socket").display())
}

fn start_server(folder: &Path) -> Child {
    let socket = folder.join("socket");
    let _ = fs::remove_file(&socket);
    let mut command = Command::new("pulseaudio");
    command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]);
    command
        .arg("-L")
        .arg(format!("module-native-protocol-unix auth-anonymous=1 socket={}", socket.display()));
    command.args(["-L", "module-null-sink sink_name=ear format=s16le rate=44100 channels=2"]);
    let child = spawn(folder, &mut command, Stdio::null());
    wait_for("the sound server", || {
        let mut probe = Command::new("pactl");
        probe.arg("info").env("PULSE_SERVER", server(folder));
        let output = probe.output().unwrap();
        output.status.success().then_some(())
    });
    child
}

/// Starts a recorder and waits until it hears the silence.
fn start_recorder(folder: &Path, file: &Path) -> Child {
    let mut command = Command::new("parec");
    command.args(["--raw", "--device=ear.monitor", "--format=s16le", "--rate=44100"]);
    command.args(["--channels=2", "--latency-msec=20"]).env("PULSE_SERVER", server(folder));
    let child = spawn(folder, &mut command, File::create(file).unwrap().into());
    wait_for("the recorder", || (fs::metadata(file).unwrap().len() > 0).then_some(()));
    child
}

fn spawn(folder: &Path, command: &mut Command, stdout: Stdio) -> Child {
    let errors = File::options().create(true).append(true).open(folder.join("stderr")).unwrap();
    command.env("HOME", folder).env("XDG_RUNTIME_DIR", folder).env("XDG_CONFIG_HOME", folder);
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("DISPLAY");
    command.stdin(Stdio::null()).stdout(stdout).stderr(errors).spawn().unwrap()
}
