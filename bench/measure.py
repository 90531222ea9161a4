"""One measurement: a contender is started, checked, warmed up, put under load, and stopped.

What is checked first and last is that it did the work it is compared by: the right answer for a known
host, 404 for an unknown one, no failed request under load, a line in the access log for each request.
"""

import http.client
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from machine import BenchError, Cpu, cpu_between

LOAD_SCRIPT = Path(__file__).parent / "configs" / "load.lua"
WARM_UP_SECONDS = 2
LOG_DEADLINE = 10


@dataclass(frozen=True)
class Load:
    seconds: int
    connections: int


@dataclass(frozen=True)
class Measurement:
    """One contender under load once. CPU times are microseconds a request."""

    requests: int
    cpu: Cpu
    helper_cpu: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    # Part of its core that the contender used: below 1 the load's core was the limit.
    busy: float
    # Part of the time that it stood ready while something else had the core: 0 on a quiet machine.
    disturbed: float
    upstream_connections: int


def measure(contender, load, body):
    """Measures `contender`; responses have `body` bytes."""
    stage = contender.stage
    with stage.upstream(body), contender:
        _check_answers(contender, body)
        _wrk(contender, Load(WARM_UP_SECONDS, load.connections))

        connected = _upstream_connections(stage)
        before = contender.process.reading()
        helped = contender.helper.reading() if contender.helper else None
        result = _wrk(contender, load)
        cpu = cpu_between(before, contender.process.reading())
        helper_cpu = cpu_between(helped, contender.helper.reading()).total if contender.helper else 0.0
        connected = _upstream_connections(stage) - connected - 1

        requests, microseconds = result["requests"], result["duration"]
        if contender.logs:
            _check_log(contender, requests)
        return Measurement(
            requests=requests,
            cpu=Cpu(cpu.user / requests, cpu.system / requests, cpu.waited / requests),
            helper_cpu=helper_cpu / requests,
            requests_per_second=requests / microseconds * 1e6,
            p50_ms=result["p50"] / 1e3,
            p99_ms=result["p99"] / 1e3,
            busy=cpu.total / microseconds,
            disturbed=cpu.waited / microseconds,
            upstream_connections=connected,
        )


def _wrk(contender, load):
    stage = contender.stage
    command = [
        "taskset", "--cpu-list", str(stage.load_core), "wrk", "--threads", "1",
        "--connections", str(load.connections), "--duration", f"{load.seconds}s", "--timeout", "10s",
        "--latency", "--script", str(LOAD_SCRIPT), f"http://{contender.listen}/", "--", str(stage.hosts_file),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=load.seconds + 60, check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode != 0 or not lines:
        raise BenchError(f"wrk failed against {contender.name}: {done.stdout[-500:]}{done.stderr[-500:]}")
    result = json.loads(lines[-1].removeprefix("RESULT "))
    if result["refused"] or result["broken"] or not result["requests"]:
        raise BenchError(
            f"{contender.name} failed under load: of {result['requests']} requests {result['refused']} were"
            f" refused and {result['broken']} broken: {contender.process.said()}"
        )
    return result


def _get(address, path, host):
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _check_answers(contender, body):
    hosts = contender.stage.hosts
    for host in (hosts[0], hosts[len(hosts) // 2], hosts[-1]):
        status, content = _get(contender.listen, "/", host)
        if status != 200 or len(content) != body:
            raise BenchError(
                f"{contender.name} answered {host} with {status} and {len(content)} bytes, not with 200 and"
                f" {body}: {contender.process.said()}"
            )
    if contender.looks_up:
        status, _ = _get(contender.listen, "/", "unknown.example.org")
        if status != 404:
            raise BenchError(f"{contender.name} answered an unknown host with {status}, not with 404")


def _check_log(contender, requests):
    """Waits for the last buffer of the log, then counts it against the requests."""
    deadline = time.monotonic() + LOG_DEADLINE
    while (lines := _count_lines(contender.access_log)) < requests:
        if time.monotonic() > deadline:
            raise BenchError(f"{contender.name} logged {lines} lines for {requests} requests")
        time.sleep(0.5)


def _count_lines(path):
    lines = 0
    try:
        with open(path, "rb") as log:
            while chunk := log.read(1 << 20):
                lines += chunk.count(b"\n")
    except FileNotFoundError:
        pass
    return lines


def _upstream_connections(stage):
    """Connections the upstreams have accepted so far, this question's included."""
    _, count = _get(stage.upstreams[0], "/-/connections", "upstream")
    return int(count)
