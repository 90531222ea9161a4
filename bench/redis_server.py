"""A Redis server for a measurement, filled with the routes of the schema."""

import socket

from machine import BenchError, Process, free_port


class RedisServer(Process):
    """A server on a free port of loopback that keeps nothing on disk."""

    def __init__(self, core, directory):
        self.port = free_port()
        command = [
            "redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", directory,
        ]
        super().__init__("redis", command, core, directory)

    def __enter__(self):
        try:
            self.wait_for(self.port)
        except BaseException:
            self.stop()
            raise
        return self

    def fill(self, members):
        """Adds (host, address, version type, node, instance) for each instance."""
        commands = bytearray()
        count = 0
        for host, address, version_type, node, instance in members:
            words = "SADD", f"instances:{host}", f"{address}#{version_type}#{node}#{instance}"
            commands += b"*%d\r\n" % len(words)
            for word in words:
                commands += b"$%d\r\n%s\r\n" % (len(word), word.encode())
            count += 1
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(commands)
            replies = connection.makefile("rb")
            for _ in range(count):
                if (reply := replies.readline()) != b":1\r\n":
                    raise BenchError(f"Redis did not take the routes: {reply!r}")
