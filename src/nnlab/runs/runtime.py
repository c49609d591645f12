"""What decides bits besides the config: BLAS's threads, and which of their kernels BLAS and NumPy
take for this processor. Imports no NumPy.

The libraries read the environment when they are loaded, so a command pins it before that. What a
caller's environment says is never heeded: it is in no config and would be in no reproduction.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnlab.core.laws import law, one_of
from nnlab.errors import RestartError, UserError
from nnlab.runs.plain import Config

NATIVE, PORTABLE = "native", "portable"

_THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_TUNABLES, _HWCAPS = "GLIBC_TUNABLES", "glibc.cpu.hwcaps="
_CORE = "Haswell"
"""OpenBLAS's name for the kernels that need AVX2 and FMA3 and nothing more."""
_KERNEL = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_BLOCK_FACTOR",
    "OPENBLAS_L2_SIZE",
    "NPY_ENABLE_CPU_FEATURES",
    "NPY_DISABLE_CPU_FEATURES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "BLIS_ARCH_TYPE",
    _TUNABLES,
)
"""By these a caller could choose other kernels. The last one is the C library's, for exp, log, sin
and pow; it is read when a process begins."""

_pinned: str | None = None
"""The kernel that this process has been given."""


@dataclass(frozen=True)
class Runtime:
    """How a training uses the machine. Another number of threads or another kernel can give other
    bits.

    `native` is what BLAS and NumPy take for this processor by themselves; `portable` is OpenBLAS's
    Haswell kernel and NumPy's code for AVX2, on every processor that has AVX2 and FMA3.
    """

    threads: int = 1
    kernel: str = NATIVE

    def __post_init__(self) -> None:
        law("1 <= threads <= 1024", 1 <= self.threads <= 1024, threads=self.threads)
        one_of((NATIVE, PORTABLE), kernel=self.kernel)


@dataclass(frozen=True)
class Portable(Runtime):
    """The same with the kernel that gives the same bits on every processor with AVX2."""

    kernel: str = PORTABLE


def pin_config(config: Config) -> None:
    """Pin what a config that is not yet checked asks for; nonsense is left to the check.

    Raises `RestartError`; `UserError` where this machine cannot have that kernel, or this process
    has another one.
    """
    runtime = config.get("runtime")
    asked = runtime if isinstance(runtime, Mapping) else {}
    threads = asked.get("threads")
    threads = threads if isinstance(threads, int) and 1 <= threads <= 1024 else 1
    pin(threads)
    if asked.get("kernel") == PORTABLE:
        pin_kernel(PORTABLE)
        _check_portable(threads)
    else:
        pin_kernel(NATIVE)


def pin(threads: int) -> None:
    """Give BLAS that many threads, whatever the caller's environment says.

    Where NumPy is here already, its BLAS is told directly.
    """
    for variable in _THREADS:
        os.environ[variable] = str(threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads)


def pin_kernel(kernel: str) -> None:
    """Give BLAS, NumPy and the C library that kernel, whatever the caller's environment says.

    Raises `RestartError` where one of them is loaded with another one, and `UserError` where that
    is because this process has computed with it.
    """
    global _pinned
    wanted = free(os.environ) | (_portable() if kernel == PORTABLE else {})
    other = [name for name in _KERNEL if os.environ.get(name, "") != wanted.get(name, "")]
    late = other if "numpy" in sys.modules else [name for name in other if name == _TUNABLES]
    if late and _pinned not in (None, kernel):
        raise UserError(
            f"a command computes with one kernel, but this one has begun with {_pinned} and got "
            f"runtime.kernel={kernel}; use a command for each"
        )
    if late:
        raise RestartError(
            f"{', '.join(late)} cannot be changed any more: what reads it is loaded (the command "
            "line begins anew where it must; elsewhere, set it before Python begins)",
            wanted,
        )
    for name in other:
        os.environ.pop(name, None)
        if name in wanted:
            os.environ[name] = wanted[name]
    _pinned = kernel


def free(environment: Mapping[str, str]) -> dict[str, str]:
    """That environment without what would choose kernels."""
    kept = {name: value for name, value in environment.items() if name not in _KERNEL}
    tunables = environment.get(_TUNABLES, "").split(":")
    harmless = ":".join(one for one in tunables if not one.startswith(_HWCAPS))
    return kept | ({_TUNABLES: harmless} if harmless else {})


def _portable() -> dict[str, str]:
    """The variables that choose the portable kernel.

    What NumPy may use is listed, not what it may not: a later processor has more.
    """
    return {"OPENBLAS_CORETYPE": _CORE, "NPY_ENABLE_CPU_FEATURES": " ".join(_features())}


def _features() -> tuple[str, ...]:
    """NumPy's names for AVX2, FMA3 and what comes before them; groups since 2.4."""
    from importlib.metadata import version

    major, minor = version("numpy").split(".")[:2]
    if (int(major), int(minor)) >= (2, 4):
        return ("X86_V3",)
    return ("SSSE3", "SSE41", "POPCNT", "SSE42", "AVX", "F16C", "FMA3", "AVX2")


def _check_portable(threads: int) -> None:
    """Raise `UserError` unless what was loaded is what was asked for."""
    cure = "; runtime.kernel=native computes here, perhaps to other bits than elsewhere"
    try:
        import numpy as np
    except RuntimeError as error:  # NumPy's own word for a processor without them
        raise UserError(
            "runtime.kernel=portable needs a processor with AVX2 and FMA3, but NumPy says: "
            f"{str(error).splitlines()[-1].strip()}{cure}"
        ) from error
    from threadpoolctl import threadpool_info

    simd: Mapping[str, Any] = np.show_config(mode="dicts").get("SIMD Extensions", {})
    used = {*simd.get("baseline", []), *simd.get("found", [])}
    wrong = [f"NumPy lacks {name}" for name in _features() if name not in used]
    wrong += [f"NumPy uses {name}" for name in sorted(used - {*_features(), *_BASELINE})]
    libraries = [one for one in threadpool_info() if one["user_api"] == "blas"]
    for one in libraries or [{}]:
        name, core = one.get("internal_api", "unknown to threadpoolctl"), one.get("architecture")
        if (name, core) != ("openblas", _CORE):
            wrong.append(f"BLAS is {name}{f' with the kernel {core}' if core else ''}")
        elif one["num_threads"] != threads:
            wrong.append(f"OpenBLAS has {one['num_threads']} threads of runtime.threads={threads}")
    if wrong:
        raise UserError(
            "runtime.kernel=portable needs a processor with AVX2 and FMA3 and NumPy with OpenBLAS, "
            f"as its wheels for x86-64 have it, but {'; '.join(dict.fromkeys(wrong))}{cure}"
        )


_BASELINE = frozenset(("SSE", "SSE2", "SSE3", "X86_V2"))
"""What NumPy's wheels need on x86-64 anyway."""
