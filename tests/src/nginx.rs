//! A real nginx, to be compared with.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::client::Client;
use crate::port::Port;
use crate::process::Process;
use crate::wait::eventually;

/// A running nginx on a port of its own.
#[derive(Debug)]
pub struct Nginx {
    port: Port,
    process: Process,
    _directory: TempDir,
}

impl Nginx {
    /// Starts one with these directives in its `http` block, and these in its only `server`. It listens
    /// where [`Nginx::address`] says, which it need not be told.
    pub fn start(http: &str, server: &str) -> Nginx {
        let (port, directory) = (Port::free(), TempDir::new().expect("a temporary directory"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let config = format!(
            "daemon off;\npid nginx.pid;\nerror_log stderr warn;\nworker_processes 1;\n\
             events {{ worker_connections 512; }}\n\
             http {{\naccess_log off;\n{temporary}{http}\n\
             server {{\nlisten {};\n{server}\n}}\n}}\n",
            port.address()
        );
        let path = directory.path().join("nginx.conf");
        std::fs::write(&path, config).expect("a file in a new directory");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&path);
        let mut process = Process::start(&mut command);
        eventually("nginx takes connections", || {
            assert!(process.is_running(), "nginx ended:\n{}", process.stderr());
            Client::try_connect(port.address()).ok()
        });
        Nginx { port, process, _directory: directory }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Opens a connection to it.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, its master would leave its worker behind.
        if self.process.is_running() {
            self.process.terminate();
            eventually("nginx ends", || (!self.process.is_running()).then_some(()));
        }
    }
}
