import os
import platform
import subprocess
import sys

import numpy
import pytest
import threadpoolctl
from threadpoolctl import threadpool_info, threadpool_limits

from nnlab.core.laws import LawError
from nnlab.errors import RestartError, UserError
from nnlab.runs import runtime
from nnlab.runs.runtime import Portable, Runtime, free, pin, pin_config, pin_kernel


def runtime_features():
    simd = numpy.show_config(mode="dicts").get("SIMD Extensions", {})
    return {*simd.get("baseline", []), *simd.get("found", [])}


VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What is pinned in a test is forgotten after it."""
    for variable in (*VARIABLES, "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "7")
    for variable in runtime._KERNEL:
        monkeypatch.setenv(variable, "")  # what is set in the test is forgotten as well
        monkeypatch.delenv(variable)
    monkeypatch.setattr(runtime, "_pinned", None)
    with threadpool_limits():
        yield


def blas_threads():
    return {row["num_threads"] for row in threadpool_info() if row["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [2, 1])
def test_pinning_tells_the_environment_and_the_library_that_is_loaded(threads):
    import numpy  # noqa: F401 - there must be a BLAS to tell

    pin(threads)
    assert {os.environ[variable] for variable in VARIABLES} == {str(threads)}
    assert blas_threads() == {threads}


CONFIGS = [  # (a config that is not checked yet, the number of threads)
    ({"runtime": {"name": "native", "threads": 2}}, "2"),
    ({"runtime": {"name": "native"}}, "1"),
    ({"runtime": {"threads": "2"}}, "1"),
    ({"runtime": {"threads": 0}}, "1"),
    ({"runtime": {"threads": 10**9}}, "1"),
    ({"runtime": {"threads": None}}, "1"),
    ({"runtime": "native"}, "1"),
    ({"runtime": None}, "1"),
    ({}, "1"),
]


@pytest.mark.parametrize(("config", "threads"), CONFIGS, ids=str)
def test_nonsense_in_a_config_is_pinned_to_one_thread(config, threads):
    pin_config(config)
    assert {os.environ[variable] for variable in VARIABLES} == {threads}


def test_a_number_of_threads_that_no_machine_has_is_refused():
    for bad in (0, -1, 1025):
        with pytest.raises(LawError, match=f"1 <= threads <= 1024.*threads={bad}"):
            Runtime(bad)
    assert Runtime().threads == 1


HOSTILE = {
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    "GLIBC_TUNABLES": "glibc.malloc.check=1:glibc.cpu.hwcaps=-AVX2,-FMA",
}
NEW = {"OPENBLAS_CORETYPE": "Haswell", "NPY_ENABLE_CPU_FEATURES": "X86_V3"}
"""What NumPy 2.4 and later is told."""


@pytest.fixture
def before_numpy(monkeypatch):
    """A process in which NumPy is not loaded yet."""
    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.4.6")


def kernel_variables():
    return {name: os.environ[name] for name in runtime._KERNEL if name in os.environ}


@pytest.mark.parametrize(("kernel", "left"), [("native", {}), ("portable", NEW)])
def test_before_numpy_is_loaded_a_kernel_is_a_matter_of_variables(
    before_numpy, monkeypatch, kernel, left
):
    for name in ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "MKL_CBWR"):
        monkeypatch.setenv(name, "COMPATIBLE")
    pin_kernel(kernel)
    assert kernel_variables() == left
    pin_kernel(kernel)  # nothing is left to do


def test_older_numpys_call_the_features_by_other_names(before_numpy, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.3.5")
    pin_kernel("portable")
    listed = "SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2"
    assert os.environ["NPY_ENABLE_CPU_FEATURES"] == listed


def test_the_c_library_needs_a_new_process(before_numpy, monkeypatch):
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RestartError, match=r"^GLIBC_TUNABLES cannot be changed any more") as needed:
        pin_kernel("portable")
    began = {name: needed.value.environment.get(name) for name in HOSTILE}
    assert began == {
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": None,
        "GLIBC_TUNABLES": "glibc.malloc.check=1",
    }


def test_numpy_that_is_loaded_otherwise_needs_a_new_process(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    with pytest.raises(RestartError, match=r"^OPENBLAS_CORETYPE cannot be changed") as needed:
        pin_config({"runtime": {"kernel": "native"}})
    assert "OPENBLAS_CORETYPE" not in needed.value.environment
    assert needed.value.environment["OMP_NUM_THREADS"] == "1"
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    pin_config({"runtime": {"kernel": "native"}})
    pin_config({})


def test_a_process_computes_with_one_kernel():
    pin_config({})
    with pytest.raises(UserError, match=r"begun with native and got runtime.kernel=portable") as no:
        pin_config({"runtime": {"kernel": "portable"}})
    assert not isinstance(no.value, RestartError)


@pytest.mark.parametrize(
    ("tunables", "left"),
    [
        ("glibc.cpu.hwcaps=-AVX2", None),
        ("glibc.malloc.check=1", "glibc.malloc.check=1"),
        ("a=1:glibc.cpu.hwcaps=-AVX2:b=2", "a=1:b=2"),
        ("", None),
    ],
)
def test_what_is_no_kernel_s_is_kept(tunables, left):
    kept = free({"PATH": "/bin", "OMP_NUM_THREADS": "3", "GLIBC_TUNABLES": tunables})
    assert kept.pop("GLIBC_TUNABLES", None) == left
    assert kept == {"PATH": "/bin", "OMP_NUM_THREADS": "3"}


def test_an_unknown_kernel_is_refused():
    with pytest.raises(LawError, match=r"kernel must be one of native, portable.*=portabel"):
        Runtime(kernel="portabel")
    assert (Runtime().kernel, Portable().kernel) == ("native", "portable")


BLAS = {"user_api": "blas", "internal_api": "openblas", "architecture": "Haswell", "num_threads": 1}
SIMD = {"baseline": ["X86_V2"], "found": ["X86_V3"], "not found": ["X86_V4"]}
WRONG = {  # what was loaded -> the words for it
    "an older kernel": ({"architecture": "Prescott"}, {}, "BLAS is openblas with the kernel Presc"),
    "a newer kernel": ({"architecture": "SkylakeX"}, {}, "openblas with the kernel SkylakeX"),
    "another BLAS": ({"internal_api": "mkl", "architecture": None}, {}, "but BLAS is mkl;"),
    "too few processors": ({"num_threads": 2}, {}, "2 threads of runtime.threads=1"),
    "no AVX2": ({}, {"found": []}, "NumPy lacks X86_V3"),
    "AVX512": ({}, {"found": ["X86_V3", "X86_V4"]}, "NumPy uses X86_V4"),
    "built for it": ({}, {"baseline": ["X86_V2", "X86_V3", "X86_V4"]}, "NumPy uses X86_V4"),
    "ARM": ({"architecture": "neoversen1"}, {"baseline": ["NEON"]}, "NumPy uses NEON"),
}


@pytest.fixture
def loaded(monkeypatch):
    """Pretends that NumPy was loaded in some way."""

    def pretend(*libraries, **simd):
        monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: list(libraries))
        config = {"SIMD Extensions": SIMD | simd}
        monkeypatch.setattr(numpy, "show_config", lambda mode: config)
        monkeypatch.setattr("importlib.metadata.version", lambda name: "2.4.6")

    return pretend


@pytest.mark.parametrize(("library", "simd", "words"), WRONG.values(), ids=WRONG)
def test_what_is_loaded_is_checked(loaded, library, simd, words):
    loaded(BLAS, **SIMD)
    runtime._check_portable(1)
    loaded(BLAS, BLAS | library, **simd)
    with pytest.raises(UserError, match=words) as no:
        runtime._check_portable(1)
    assert "runtime.kernel=native computes here" in str(no.value)


def test_a_blas_that_nobody_knows_is_refused(loaded):
    loaded()
    with pytest.raises(UserError, match="BLAS is unknown to threadpoolctl"):
        runtime._check_portable(1)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or "X86_V4" in runtime_features(),
    reason="needs a processor of x86-64 that lacks something: this one has AVX512, or is another",
)
def test_a_processor_that_lacks_it_is_an_error_of_one_line():
    """A feature that this processor lacks stands for AVX2, which tests cannot take away."""
    code = (
        "from nnlab import errors; from nnlab.runs import runtime;"
        "runtime._features = lambda: ('X86_V4',)\n"
        "try: runtime.pin_config({'runtime': {'kernel': 'portable'}})\n"
        "except errors.UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "runtime.kernel=portable needs a processor with AVX2 and FMA3, but NumPy says: "
        "You cannot enable CPU features (X86_V4), since they are not supported by your machine."
    )
    assert done.stdout.count("\n") == 1
