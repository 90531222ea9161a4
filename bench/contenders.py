"""The programs that are measured: how each is configured and started.

Every contender gets the same two upstreams and the same 10,000 hosts (if it looks hosts up at all), runs
on one worker, keeps its connections, and sets the same forwarded fields. A contender is a class here and,
if it needs one, a file in configs/.
"""

import json
import os
import subprocess
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from machine import BenchError, Process, free_port
from memcached_server import MemcachedServer
from redis_server import RedisServer

CONFIGS = Path(__file__).parent / "configs"
HOSTS = 10_000
VERSION_TYPES = 500
LOG_BUFFER = "buffer=64k flush=1s"


@dataclass
class Stage:
    """What all contenders share in one run of the benchmark."""

    directory: Path
    programs: Path
    contender_core: int
    load_core: int
    upstreams: list = field(init=False)

    def __post_init__(self):
        self.hosts = [f"site-{number:05}.apps.example.com" for number in range(HOSTS)]
        self.hosts_file = self.directory / "hosts.txt"
        self.hosts_file.write_text("".join(f"{host}\n" for host in self.hosts))
        self.upstreams = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        # A third one that answers 501, "not mine, pass".
        self.passing = f"127.0.0.1:{free_port()}"

    def upstream(self, body):
        """Starts the servers behind the contenders; responses have `body` bytes."""
        listen = [argument for address in self.upstreams for argument in ("--listen", address)]
        command = [self.program("upstream"), *listen, "--listen-passing", self.passing, "--body", body]
        process = Process("upstream", command, self.load_core, self.directory)
        try:
            for address in [*self.upstreams, self.passing]:
                process.wait_for(int(address.rpartition(":")[2]))
        except BaseException:
            process.stop()
            raise
        return process

    def program(self, name):
        path = self.programs / name
        if not path.is_file():
            raise BenchError(f"{path} is not there: build it, or say where it is with --programs")
        return path

    def members(self):
        """Each host with its instances: (host, address, version type, node, instance)."""
        node = uuid.UUID(int=1)
        for number, host in enumerate(self.hosts):
            for index, address in enumerate(self.upstreams):
                instance = uuid.UUID(int=number << 8 | index)
                yield host, address, str(number % VERSION_TYPES), str(node), str(instance)


class Contender:
    """One program under test. `start` gives a running one; `stop` must always follow."""

    name = ""
    # What it is, for the report.
    about = ""
    # Whether it routes by host: then an unknown host must be answered with 404.
    looks_up = True
    # Whether it writes an access log: then it must have a line for each request.
    logs = True

    def __init__(self, stage):
        self.stage = stage
        self.directory = stage.directory / self.name
        self.directory.mkdir()
        self.access_log = self.directory / "access.log"
        self.port = 0
        self.process = None
        # A process that works for the contender, its CPU time reported apart.
        self.helper = None
        self._running = ExitStack()

    def __enter__(self):
        self.port = free_port()
        try:
            self.start()
            self.process.wait_for(self.port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._running.close()
        self.access_log.unlink(missing_ok=True)

    def start(self):
        raise NotImplementedError

    @property
    def listen(self):
        return f"127.0.0.1:{self.port}"

    def run(self, *command, name=None, core=None):
        core = self.stage.contender_core if core is None else core
        process = Process(name or self.name, command, core, self.directory)
        return self._running.enter_context(process)

    def configure(self, name, **values):
        """Writes configs/NAME into the contender's directory, each @WORD@ replaced; gives its path."""
        first, second = self.stage.upstreams
        values |= {
            "DIR": self.directory, "LISTEN": self.listen,
            "UPSTREAM_1": first, "UPSTREAM_2": second, "PASSING": self.stage.passing,
        }
        text = (CONFIGS / name).read_text()
        for word, value in values.items():
            text = text.replace(f"@{word}@", str(value))
        path = self.directory / name
        path.write_text(text)
        return path

    def upstream_arguments(self):
        return [argument for address in self.stage.upstreams for argument in ("--upstream", address)]


class Relay(Contender):
    name = "relay"
    about = "bytes copied both ways, no HTTP: the floor"
    looks_up = False
    logs = False

    def start(self):
        self.process = self.run(
            self.stage.program("relay"), "--listen", self.listen, *self.upstream_arguments()
        )


class HyperProxy(Contender):
    name = "hyper-proxy"
    about = "hyper on both sides, thread-local pool, host map, JSON log: the design left"

    def start(self):
        self.process = self.run(
            self.stage.program("hyper-proxy"), "--listen", self.listen, *self.upstream_arguments(),
            "--hosts", self.stage.hosts_file, "--access-log", self.access_log,
        )


class Nginx(Contender):
    name = "nginx"
    about = "plain reverse proxy, no lookup, JSON log (64 KiB buffer)"
    looks_up = False
    config = "nginx.conf"
    log_buffer = LOG_BUFFER
    log_keys = {"VERSION_TYPE": "null", "NODE": "null", "INSTANCE": "null"}

    def start(self, **values):
        # As root, nginx would otherwise hand its work to a user that can't enter our directory.
        values |= {"USER": "user root;" if os.geteuid() == 0 else "", "LOG_BUFFER": self.log_buffer}
        self.configure("nginx-http.conf", **values, **self.log_keys)
        self.configure("nginx-forward.conf")
        config = self.configure(self.config, **values)
        self.process = self.run("nginx", "-p", self.directory, "-c", config, "-e", self.directory / "error.log")


class NginxUnbuffered(Nginx):
    name = "nginx-unbuffered"
    about = "the same, its log written line by line"
    log_buffer = ""


class NginxLuaRedis(Nginx):
    name = "nginx-lua-redis"
    about = "nginx asking Redis at each request, in Lua, all connections kept; Redis's own time apart"
    looks_up = True
    config = "nginx-lua.conf"
    log_keys = {"VERSION_TYPE": "$version_type", "NODE": "$node", "INSTANCE": "$instance"}
    proxy_pass = "instance"

    def start(self):
        self.helper = self._running.enter_context(RedisServer(self.stage.load_core, self.directory))
        self.helper.fill(self.stage.members())
        super().start(REDIS_HOST="127.0.0.1", REDIS_PORT=self.helper.port, PASS=self.proxy_pass)


class NginxLuaRedisReconnecting(NginxLuaRedis):
    name = "nginx-lua-redis-reconnecting"
    about = "the same with the instance's address in a variable: a new upstream connection each request"
    proxy_pass = "$address"


class HaProxy(Contender):
    name = "haproxy"
    about = "a map of the hosts, no log"
    logs = False

    def start(self):
        hosts = "".join(f"{host} site\n" for host in self.stage.hosts)
        (self.directory / "hosts.map").write_text(hosts)
        self.process = self.run("haproxy", "-db", "-f", self.configure("haproxy.cfg"))


class Waypost(Contender):
    name = "waypost"
    about = "embedded table, JSON log"

    def __init__(self, stage):
        super().__init__(stage)
        self.data = self.directory / "data"

    def start(self):
        if not self.data.is_dir():
            self._import_routes(self.stage.program("waypost"))
        self.serve()

    def serve(self, *arguments):
        self.process = self.run(
            self.stage.program("waypost"), "serve", "--workers", 1, "--listen", self.listen,
            "--admin", f"127.0.0.1:{free_port()}", "--data", self.data, "--access-log", self.access_log,
            *arguments,
        )

    def _import_routes(self, waypost):
        self.data.mkdir()
        routes = self.directory / "routes.jsonl"
        with open(routes, "w") as lines:
            for host, address, version_type, node, instance in self.stage.members():
                member = {
                    "host": host, "address": address,
                    "version_type": version_type, "node": node, "instance": instance,
                }
                lines.write(json.dumps(member) + "\n")
        done = subprocess.run(
            [waypost, "route", "import", "--table", f"embedded:{self.data}", routes],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )
        if done.returncode != 0:
            raise BenchError(f"waypost route import failed: {done.stderr.strip()}")


class WaypostRedis(Waypost):
    name = "waypost-redis"
    about = "the same hosts in a Redis table"

    def start(self):
        self.helper = self._running.enter_context(RedisServer(self.stage.load_core, self.directory))
        self.helper.fill(self.stage.members())
        self.serve("--table", f"redis://127.0.0.1:{self.helper.port}")


class WaypostRemap(Waypost):
    name = "waypost-remap"
    about = "the same hosts in a memcached table, one instance each, decisions kept for a second"

    def start(self):
        self.helper = self._running.enter_context(MemcachedServer(self.stage.load_core, self.directory))
        upstreams = self.stage.upstreams
        self.helper.fill(
            (f"http://{host}:80/", f"http://{upstreams[number % len(upstreams)]}/")
            for number, host in enumerate(self.stage.hosts)
        )
        self.serve("--table", f"memcached://127.0.0.1:{self.helper.port}")


CONTENDERS = {
    contender.name: contender
    for contender in (
        Relay, Waypost, Nginx, NginxUnbuffered, HaProxy, HyperProxy, NginxLuaRedis, NginxLuaRedisReconnecting
    )
}
