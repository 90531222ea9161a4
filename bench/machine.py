"""Processes of the benchmark: started on a core of their own, measured, and always stopped.

CPU time comes from /proc/PID/task/*/schedstat, which counts nanoseconds, for a process, its threads and
its descendants; so does the time they stood ready and waited for the core. How CPU time divides into user
and system time comes from /proc/PID/stat, which counts ticks of 10 ms: right over a long run, rough over
a short one.
"""

import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

START_DEADLINE = 30
STOP_DEADLINE = 10


class BenchError(Exception):
    """Something the benchmark needs is not there or did not work; the text says what and where."""


@dataclass(frozen=True)
class Cpu:
    """CPU time used, and waited for, in microseconds."""

    user: float
    system: float
    waited: float

    @property
    def total(self):
        return self.user + self.system


@dataclass(frozen=True)
class _Reading:
    threads: dict  # (pid, tid) -> ns run, ns waited
    user: int  # ticks
    system: int


class Process:
    """A program on one core, stopped when the `with` block ends."""

    def __init__(self, name, command, core, directory):
        self.name = name
        self.output = Path(directory) / f"{name}.output"
        with open(self.output, "wb") as output:
            try:
                self.child = subprocess.Popen(
                    ["taskset", "--cpu-list", str(core), *map(str, command)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # Ctrl-C is for the driver, which then stops each process in turn.
                    start_new_session=True,
                )
            except FileNotFoundError as missing:
                raise BenchError(f"{name}: there is no {missing.filename}") from missing

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        family = self._family()
        self.child.terminate()
        try:
            self.child.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Also when the wait was interrupted.
            if self.child.poll() is None:
                for pid in family:
                    _kill(pid)
                self.child.wait()

    def wait_for(self, port):
        """Waits until something listens on `port`, as this process should."""
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise BenchError(f"{self.name} ended at once with {self.child.returncode}: {self.said()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise BenchError(f"{self.name} does not listen on port {port} after {START_DEADLINE} s: {self.said()}")

    def said(self):
        """The end of what it wrote to its standard output and error."""
        return self.output.read_text(errors="replace")[-2000:].strip()

    def reading(self):
        """CPU time so far, for `cpu_between`."""
        threads, user, system = {}, 0, 0
        for pid in self._family():
            for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    ran, waited, _ = map(int, schedstat.read_text().split())
                except OSError:
                    continue  # the thread has just ended
                threads[pid, schedstat.parent.name] = ran, waited
            fields = _stat(pid)
            if fields:
                user += int(fields[11])
                system += int(fields[12])
        return _Reading(threads, user, system)

    def _family(self):
        """This process and its descendants: nginx works in a child."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(int(entry))):
                parents.setdefault(int(fields[1]), []).append(int(entry))
        family = [self.child.pid]
        for pid in family:
            family.extend(parents.get(pid, []))
        return family


def cpu_between(before, after):
    """The CPU time between two readings of one process."""
    ran = waited = 0
    for thread, (ran_after, waited_after) in after.threads.items():
        ran_before, waited_before = before.threads.get(thread, (0, 0))
        ran += (ran_after - ran_before) / 1000
        waited += (waited_after - waited_before) / 1000
    user, system = after.user - before.user, after.system - before.system
    share = user / (user + system) if user + system else 0.0
    return Cpu(user=ran * share, system=ran * (1 - share), waited=waited)


def free_port():
    """A port of 127.0.0.1 that is free now, below those the system gives to clients."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _stat(pid):
    """The fields of /proc/PID/stat behind the name, which may hold anything; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
