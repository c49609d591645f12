import os

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nnlab.core.laws import LawError
from nnlab.runs.runtime import Runtime, pin, pin_config

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """What is pinned in a test is forgotten after it."""
    for variable in (*VARIABLES, "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "7")
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
