"""How soon a change of the Redis table is routed, and what changes cost the requests routed meanwhile.

Redis holds the 10,000 hosts that the contenders have. The program `freshness` (src/bin/freshness/) makes
the writes and the requests, and times them; here it is given what it needs, and its result is shown.
"""

import json
import subprocess
import time
from contextlib import ExitStack

import report
from machine import BenchError, Process, cpu_between, free_port
from redis_server import RedisServer

WRITES = 2000
CHANGES_PER_SECOND = 5000
SECONDS = 10
DEADLINE = 300
# Freshness at the 99th percentile, in milliseconds: what must be, and what we aim for.
BAR_MS, AIM_MS = 50, 5
COLUMNS = ["p50", "p90", "p99", "p99.9", "max"]


def measure(stage, quick):
    """The result of `freshness`, as a dictionary."""
    directory = stage.directory / "freshness"
    directory.mkdir()
    port = free_port()
    with ExitStack() as running:
        running.enter_context(stage.upstream(body=100))
        redis = running.enter_context(RedisServer(stage.load_core, directory))
        redis.fill(stage.members())
        command = [
            stage.program("waypost"), "serve", "--workers", 1, "--listen", f"127.0.0.1:{port}",
            "--admin", f"127.0.0.1:{free_port()}", "--data", directory / "data",
            "--table", f"redis://127.0.0.1:{redis.port}",
        ]
        router = running.enter_context(Process("waypost", command, stage.contender_core, directory))
        router.wait_for(port)
        before, began = router.reading(), time.monotonic()
        result = _run(stage, redis.port, port, quick)
        waited = cpu_between(before, router.reading()).waited / 1e6
        # Part of the time that the router stood ready while something else had its core.
        return result | {"disturbed": waited / (time.monotonic() - began)}


def show(result):
    """The result as Markdown tables, and whether what is asked for is met."""
    freshness, load, changes = result["freshness"], result["load"], result["changes_per_second"]

    def rows(section, what):
        return [
            [f"{what}, {name}", f"{times['count']:,}", *(f"{times[column]:.2f}" for column in COLUMNS)]
            for name, times in (
                ("nothing else changing", section["quiet"]),
                (f"{changes['freshness' if section is freshness else 'load']:,} changes/s beside", section["busy"]),
            )
        ]

    table = report.markdown(
        ["ms", "count", *COLUMNS], [*rows(freshness, "write until routed"), *rows(load, "request of a steady load")]
    )
    lines = [
        f"write until routed, p99 ≤ {limit} ms{note}: {verdict} ({name}: {times['p99']:.2f} ms)"
        for name, times in (("quiet", freshness["quiet"]), ("busy", freshness["busy"]))
        for limit, note in ((BAR_MS, ""), (AIM_MS, " (the aim beyond the bar)"))
        for verdict in ["met" if times["p99"] <= limit else "not met"]
    ]
    if result["disturbed"] > report.QUIET:
        lines.insert(0, f"Rough: for {result['disturbed']:.0%} of the time something else had the router's core.\n")
    return table + "\n\n" + "\n".join(lines)


def _run(stage, redis, router, quick):
    command = [
        "taskset", "--cpu-list", str(stage.load_core), stage.program("freshness"),
        "--redis", f"127.0.0.1:{redis}", "--router", f"127.0.0.1:{router}",
        "--instance", stage.upstreams[0], "--hosts-file", stage.hosts_file,
        "--writes", WRITES // 10 if quick else WRITES, "--changes", CHANGES_PER_SECOND,
        "--seconds", 2 if quick else SECONDS,
    ]
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE, check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"freshness failed: {done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout)
