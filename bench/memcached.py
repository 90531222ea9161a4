"""The memcached client beside libmemcached's C library: the same work against the same servers.

Each client runs alone on the contender's core, the servers on the other. CPU time is the client's own.
"""

import json
import subprocess
from contextlib import ExitStack

import report
from machine import BenchError
from memcached_server import MemcachedServer

SOURCE = "src/libmemcached.c"
DEEP = 100
# (what it is called, mode, depth, servers)
WORK = [
    ("get, one at a time", "get", 1, 1),
    ("set, one at a time", "set", 1, 1),
    (f"get, {DEEP} at a time", "get", DEEP, 1),
    (f"set, {DEEP} at a time", "set", DEEP, 1),
    (f"multi-get of {DEEP} over three servers", "get", DEEP, 3),
]


def measure(stage, sources, seconds, rounds):
    """{what: {client: [{operations, seconds, cpu}]}}"""
    directory = stage.directory / "memcached"
    directory.mkdir()
    c_client = directory / "libmemcached-client"
    compile_c(sources / SOURCE, c_client)
    clients = {"waypost-memcached": stage.program("memcached-client"), "libmemcached": c_client}
    results = {what: {client: [] for client in clients} for what, *_ in WORK}
    with ExitStack() as running:
        servers = [running.enter_context(MemcachedServer(stage.load_core, directory)) for _ in range(3)]
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        for number in range(rounds):
            order = list(clients) if number % 2 == 0 else list(clients)[::-1]
            for what, mode, depth, count in WORK:
                for client in order:
                    command = [clients[client], mode, depth, seconds, *addresses[:count]]
                    results[what][client].append(run(stage, client, command, seconds))
    return results


def compile_c(source, program):
    done = subprocess.run(
        ["cc", "-O2", "-o", program, source, "-lmemcached"], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{source} could not be compiled: {done.stderr.strip()}")


def run(stage, client, command, seconds):
    done = subprocess.run(
        ["taskset", "--cpu-list", str(stage.contender_core), *map(str, command)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 60, check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"{client} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def show(results):
    """The results as a Markdown table."""
    rows = []
    for what, clients in results.items():
        cost = {client: min(run["cpu"] / run["operations"] * 1e6 for run in runs) for client, runs in clients.items()}
        rate = {client: max(run["operations"] / run["seconds"] for run in runs) for client, runs in clients.items()}
        ours, theirs = clients
        rows.append([
            what,
            *(f"{rate[client]:,.0f}" for client in clients),
            *(f"{cost[client]:.2f}" for client in clients),
            f"{cost[ours] / cost[theirs]:.2f}",
        ])
    names = list(next(iter(results.values())))
    head = ["", *(f"{name}/s" for name in names), *(f"{name}, CPU µs" for name in names), "CPU ratio"]
    return report.markdown(head, rows)
