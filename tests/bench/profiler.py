"""A sampling profiler of all threads: who was on the CPU, weighed by the kernel's own count.

cProfile sees one thread and makes small functions look dear; here every few milliseconds each
thread's stack is charged with the CPU time that the kernel gave the thread since the last look.
A line is seen where the interpreter next gives way: at a call, a loop's turn or a return from C.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

import daemon

_PACKAGE = str(Path(daemon.__file__).parent)
_PAUSE = 0.002
_SHOWN = 30
_PROMPT = 0.000_01
"""Seconds after which a thread must give way to the sampler, wherever it is. With Python's own 5 ms
the sampler would come in mostly where a thread gives way by itself, which is at its I/O."""


@contextlib.contextmanager
def profiled(stream: TextIO) -> Iterator[None]:
    """Watch what runs inside, and print what took most."""
    spent = Counter({threading.get_native_id(): _cpu(threading.get_native_id())})
    lines: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_PAUSE):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                number, frame = thread.native_id or 0, frames.get(thread.ident or 0)
                now = _cpu(number)
                cost, spent[number] = now - spent[number], now
                if frame is not None and thread is not sampler and cost > 0:
                    lines[_name(frame, frame.f_lineno)] += cost
                    functions.update(dict.fromkeys(_ours(frame), cost))

    sampler, usual = threading.Thread(target=watch, daemon=True), sys.getswitchinterval()
    sys.setswitchinterval(_PROMPT)
    sampler.start()
    yield
    stop.set()
    sampler.join()
    sys.setswitchinterval(usual)
    print(f"{lines.total() / 1e9:.2f} CPU seconds; by lines, by themselves", file=stream)
    _print(lines, stream)
    print("by the package's functions, with what they call", file=stream)
    _print(functions, stream)


def _print(table: Counter[str], stream: TextIO) -> None:
    for name, cost in table.most_common(_SHOWN):
        print(f"{cost / 1e9:8.2f}  {name}", file=stream)


def _cpu(native_id: int) -> int:
    """Nanoseconds that a thread has been on a CPU; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_bytes().split()[0])
    except OSError:
        return 0


def _ours(frame: FrameType | None) -> Iterator[str]:
    """The functions of the package that are under way."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_PACKAGE):
            yield _name(frame, frame.f_code.co_firstlineno)
        frame = frame.f_back


def _name(frame: FrameType, line: int) -> str:
    file = "/".join(Path(frame.f_code.co_filename).parts[-2:])
    return f"{file}:{line} {frame.f_code.co_qualname}"
