"""The device that ``gpu.py`` measures: its clock, its memory, its speed."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from process_memory import status

from selfj_eval.engines.models.loading import choose_device

PRODUCTS = 16
"""Matrix products that are timed together."""


class Device:
    """A device.

    Args:
        name: ``cuda``, ``cpu``, ...

    Raises:
        JudgeError: If it is not here.
    """

    def __init__(self, name: str) -> None:
        self.name = choose_device(name)
        self.is_cuda = self.name.startswith("cuda")
        self._held = 0

    def facts(self) -> dict[str, Any]:
        """What it is, and what runs on it."""
        found: dict[str, Any] = {
            "card": f"CPU {platform.machine()}",
            "torch": torch.__version__,
            "transformers": version("transformers"),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        }
        if self.is_cuda:
            card = torch.cuda.get_device_properties(self.name)
            found |= {
                "card": card.name,
                "memory_bytes": card.total_memory,
                "free_bytes": torch.cuda.mem_get_info(self.name)[0],
                "capability": f"{card.major}.{card.minor}",
                "cuda": torch.version.cuda,
                "driver": _driver(),
            }
        return found

    def seconds(self, work: Callable[[], Any]) -> float:
        """How long work takes, to the end of what it started on the device."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        """Until nothing is running."""
        if self.is_cuda:
            torch.cuda.synchronize(self.name)

    def held(self) -> int:
        """Bytes in use now."""
        return torch.cuda.memory_allocated(self.name) if self.is_cuda else 1024 * status("VmRSS")

    def start_peak(self) -> None:
        """Begin to watch how much memory is used."""
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.name)
        else:
            with suppress(OSError, AttributeError):  # what Linux offers
                ctypes.CDLL(None).malloc_trim(0)
                Path("/proc/self/clear_refs").write_text("5")
        self._held = self.held()

    def peak(self) -> int:
        """Most bytes above what was held when the watch began."""
        self.wait()
        if self.is_cuda:
            return torch.cuda.max_memory_allocated(self.name) - self._held
        return 1024 * status("VmHWM") - self._held

    def product_rate(self, dtype: torch.dtype) -> float:
        """Operations a second of a large matrix product."""
        size = 8192 if self.is_cuda else 512
        one, other = (torch.randn(size, size, device=self.name, dtype=dtype) for _ in range(2))
        out = one @ other
        seconds = self.seconds(lambda: [torch.mm(one, other, out=out) for _ in range(PRODUCTS)])
        return PRODUCTS * 2 * size**3 / seconds


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return (found.stdout.split() or [None])[0]
