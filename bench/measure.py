"""Whole processes, measured: wall time, processor time and memory of a process and all it starts.

What a command is and what its figures mean belong elsewhere (`run.py`, `report.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROC = Path("/proc")
_LOOK_AT_MEMORY = 0.02
_LOOK_FOR_PROCESSES = 0.2
_TAIL = 2_000


@dataclass(frozen=True)
class Measurement:
    """One run of a command.

    Args:
        seconds: from its start to its end.
        cpu_seconds: processor time of all its processes, user and system.
        peak_bytes: the most resident memory that its processes had at once. Pages that several
            of them share count in each.
        exit_code: negative for the signal that ended it.
        tail: the end of what it wrote to standard error.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int
    tail: str


def measure(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> Measurement:
    """Run a command to its end and measure it.

    Raises:
        FileNotFoundError: there is no such command.
    """
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        # A session of its own, so that its processes can be told from others, and ended.
        process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
        watch = _Watch(process.pid)
        watch.start()
        alarm = threading.Timer(timeout, _end_session, [process.pid])
        alarm.start()
        try:
            # os.wait4 and not Popen.wait: it tells what the process and those it waited for used.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            alarm.cancel()
            watch.stop()
            _end_session(process.pid)
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL))
        tail = output.read().decode(errors="replace")
    if not watch.peak_bytes:
        # Without /proc: the kernel's figure of the largest process. It is not taken where there
        # is a better one, as on Linux it counts this process too, from before the command began.
        watch.peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Measurement(
        seconds=seconds,
        cpu_seconds=max(watch.cpu_seconds, usage.ru_utime + usage.ru_stime),
        peak_bytes=watch.peak_bytes,
        exit_code=process.returncode,
        tail=tail,
    )


def _end_session(pid: int) -> None:
    """End what is left of the session that began with the process `pid`."""
    # It is an error where none is left, and macOS calls it another one.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _Watch(threading.Thread):
    """Samples the memory and processor time of a session's processes.

    Where there is no /proc it sees nothing.
    """

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self._session = session
        self._done = threading.Event()
        self._cpu: dict[int, float] = {}
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu.values())

    def stop(self) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        if not _PROC.is_dir():
            return
        pids: list[int] = [self._session]
        look_again = 0.0
        while not self._done.wait(_LOOK_AT_MEMORY):
            if time.perf_counter() >= look_again:
                pids = self._processes()
                look_again = time.perf_counter() + _LOOK_FOR_PROCESSES
            now = [_memory(pid) for pid in pids]
            # All processes now, or the most that one ever had: that finds peaks between samples.
            together = sum(resident for resident, _ in now)
            self.peak_bytes = max(self.peak_bytes, together, *(most for _, most in now))
            for pid in pids:
                self._note_cpu(pid)

    def _processes(self) -> list[int]:
        pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if (stat := _stat(pid)) and int(stat[3]) == self._session]

    def _note_cpu(self, pid: int) -> None:
        if stat := _stat(pid):
            ticks = int(stat[11]) + int(stat[12])
            self._cpu[pid] = ticks / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, from the state on; None if it has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _memory(pid: int) -> tuple[int, int]:
    """The resident memory of a process, now and at its highest; nothing if it has ended."""
    try:
        status = (_PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return 0, 0
    sizes = dict.fromkeys(("VmRSS", "VmHWM"), 0)
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * 1024
    return sizes["VmRSS"], sizes["VmHWM"]
