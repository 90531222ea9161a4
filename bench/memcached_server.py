"""A memcached server for a measurement."""

import os
import socket

from machine import BenchError, Process, free_port


class MemcachedServer(Process):
    """A server with one thread on a free port of loopback."""

    def __init__(self, core, directory):
        self.port = free_port()
        command = ["memcached", "-l", "127.0.0.1", "-p", self.port, "-U", 0, "-t", 1, "-m", 256, "-c", 4096]
        # It refuses to run as root unless it is told to.
        if os.geteuid() == 0:
            command += ["-u", "root"]
        super().__init__(f"memcached-{self.port}", command, core, directory)

    def __enter__(self):
        try:
            self.wait_for(self.port)
        except BaseException:
            self.stop()
            raise
        return self

    def fill(self, items):
        """Sets (key, value) for each item, as text, to be kept for good."""
        commands = bytearray()
        count = 0
        for key, value in items:
            commands += f"set {key} 0 0 {len(value)}\r\n{value}\r\n".encode()
            count += 1
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(commands)
            replies = connection.makefile("rb")
            for _ in range(count):
                if (reply := replies.readline()) != b"STORED\r\n":
                    raise BenchError(f"memcached did not take an item: {reply!r}")
