//! Just enough of Redis's protocol to write: commands out, numbers in.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::Context;

use crate::DEADLINE;

/// A connection to Redis.
pub(crate) struct Redis {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Redis {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Redis> {
        let stream = TcpStream::connect(address)
            .with_context(|| format!("could not connect to Redis at {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Redis { stream: BufReader::new(stream), line: String::new() })
    }

    /// Runs a command that is answered with a number.
    pub(crate) fn run(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = Vec::new();
        encode(words, &mut command);
        self.run_all(&command, 1)
    }

    /// Sends commands as they are [encoded](encode), and reads as many numbers.
    pub(crate) fn run_all(&mut self, commands: &[u8], count: usize) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(commands).context("could not write to Redis")?;
        for _ in 0..count {
            self.line.clear();
            self.stream.read_line(&mut self.line).context("no answer from Redis")?;
            anyhow::ensure!(self.line.starts_with(':'), "Redis answered {:?}", self.line);
        }
        Ok(())
    }
}

/// Appends a command.
pub(crate) fn encode(words: &[&str], commands: &mut Vec<u8>) {
    commands.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        commands.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}
