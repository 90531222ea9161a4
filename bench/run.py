#!/usr/bin/env python3
"""./dev bench: CPU time a proxied request, Waypost beside other proxies.

Contenders are measured one at a time, in rounds, so that what changes on the machine over minutes falls
on all of them alike; the median of the rounds counts. docs/benchmarks.md says how to read the result.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import freshness
import memcached
import nodes
import passing
import report
import tables
from contenders import CONTENDERS, Stage
from machine import BenchError
from measure import Load, measure

SMALL_BODY = 100
LARGE_BODY = 10 * 1024
SCALE_DEADLINE = 900
# What `--only` takes beside contenders.
FRESHNESS = "freshness"
MEMCACHED = "memcached"
# Contenders that are compared with one another alone: {name: (module, title)}.
COMPARISONS = {
    "tables": (tables, "Routing by each kind of table"),
    "nodes": (nodes, "What a node of the backend tree costs"),
    "passing": (passing, "A request that the first backend passes on"),
}


def arguments():
    names, others = ", ".join(CONTENDERS), ", ".join(COMPARISONS)
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one round of 3 seconds, small bodies: a smoke test")
    parser.add_argument("--only", metavar="A,B", help=f"only these contenders ({names}), comparisons ({others}), {FRESHNESS} or {MEMCACHED}")
    parser.add_argument("--seconds", type=int, default=10, metavar="N", help="load for so long a run (default 10)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs a contender (default 3)")
    parser.add_argument("--connections", type=int, default=64, metavar="N", help="clients' connections (default 64)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every measurement to FILE")
    parser.add_argument("--programs", type=Path, default=Path("target/release"), metavar="DIR", help="our programs")
    chosen = parser.parse_args()
    if chosen.seconds < 1 or chosen.rounds < 1 or chosen.connections < 1:
        parser.error("--seconds, --rounds and --connections are at least 1")
    wanted = chosen.only.split(",") if chosen.only else [*CONTENDERS, *COMPARISONS, FRESHNESS, MEMCACHED]
    chosen.comparisons = [name for name in wanted if name in COMPARISONS]
    chosen.contenders = [name for name in wanted if name not in (*COMPARISONS, FRESHNESS, MEMCACHED)]
    chosen.freshness, chosen.memcached = FRESHNESS in wanted, MEMCACHED in wanted
    for name in chosen.contenders:
        if name not in CONTENDERS:
            parser.error(f"there is no contender '{name}'; there are {names}, {others}, {FRESHNESS} and {MEMCACHED}")
    return chosen


def cores():
    """A core for the contender, and one for the load and the upstream."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise BenchError("two cores are needed: one for the contender, one for the load")
    return available[:2]


def run_rounds(contenders, load, body, rounds):
    """{name: [Measurement]} over all rounds; each round begins with another contender."""
    results = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            measurement = measure(contender, load, body)
            results[contender.name].append(measurement)
            print(
                f"  round {number + 1}, {contender.name}: {measurement.cpu.total:.2f} µs,"
                f" {measurement.requests_per_second:,.0f} requests/s",
                file=sys.stderr, flush=True,
            )
    return results


def print_scale():
    """Runs the table's own measurement, which says what a lookup and a change cost as it grows."""
    command = ["cargo", "run", "--quiet", "--locked", "--release", "-p", "waypost-table", "--example", "scale"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=SCALE_DEADLINE, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"'{' '.join(command)}' failed with {done.returncode}")
    print("\n## The table as it grows\n")
    print(report.scale_table(done.stdout.splitlines()))


def main():
    chosen = arguments()
    seconds, rounds = (3, 1) if chosen.quick else (chosen.seconds, chosen.rounds)
    load = Load(seconds, chosen.connections)
    # (bytes of the responses' bodies, rounds)
    cases = [(SMALL_BODY, rounds)] if chosen.quick else [(SMALL_BODY, rounds), (LARGE_BODY, 1)]

    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as directory:
        stage = Stage(Path(directory), chosen.programs.resolve(), *cores())
        contenders = [CONTENDERS[name](stage) for name in chosen.contenders]
        for line in report.machine():
            print(line)
        results = {}
        if contenders:
            print(f"{load.connections} connections, {load.seconds} s a run; the contender alone on its core")
        for body, rounds in cases if contenders else []:
            results[body] = run_rounds(contenders, load, body, rounds)
            print(f"\n## Responses of {body:,} bytes, {rounds} round(s)\n")
            print(report.table(results[body]), flush=True)
            if names := report.disturbed(results[body]):
                print(f"\nRough: something else used the core of {', '.join(names)}.")
            if lines := report.aims(results[body]):
                print("\n" + "\n".join(lines))
        if contenders:
            print("\n" + "\n".join(f"{contender.name}: {contender.about}" for contender in contenders), flush=True)
        for name in chosen.comparisons:
            module, title = COMPARISONS[name]
            results[name] = run_rounds(module.contenders(stage), load, SMALL_BODY, cases[0][1])
            print(f"\n## {title}\n\n{module.show(results[name])}")
            if names := report.disturbed(results[name]):
                print(f"\nRough: something else used the core of {', '.join(names)}.")
            sys.stdout.flush()
        fresh = freshness.measure(stage, chosen.quick) if chosen.freshness else None
        if fresh:
            print("\n## How soon a change of the Redis table is routed\n")
            print(freshness.show(fresh), flush=True)
        clients = memcached.measure(stage, Path(__file__).parent, seconds, cases[0][1]) if chosen.memcached else None
        if clients:
            print("\n## The memcached client beside libmemcached\n")
            print(memcached.show(clients), flush=True)
    if chosen.json:
        chosen.json.write_text(report.as_json(results, load, fresh, clients))
    if not chosen.only:
        print_scale()


def end(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except subprocess.TimeoutExpired as late:
        sys.exit(f"bench: gave up on '{' '.join(map(str, late.cmd))}' after {late.timeout:.0f} s")
    except KeyboardInterrupt:
        sys.exit(130)
