"""The same bits whatever the caller's environment says: other kernels, other numbers of threads.

Machines with other processors are played by variables that take features away. No test can add any:
that a processor with AVX512 computes like this one is shown only where the tests run on one.
"""

import os
import platform
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

Lab = runpy.run_path(str(Path(__file__).parents[1] / "commands" / "conftest.py"))["Lab"]

TRAININGS = [
    *("train", "--multirun", "tracking=none", "stopping.max_epochs.epochs=2"),
    *("model.activation=tanh", "optimizer=lbfgs", "batch_size=1000000000"),
    "dtype=float32,float64",
]
"""Two of them, by SciPy's L-BFGS, whose BLAS is another copy."""
WEIGHTS = "nnlab.weights_sha256"

HOSTILE = {
    "nothing": {},
    "another core": {"OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "7"},
    "a third core": {"OPENBLAS_CORETYPE": "Sandybridge", "OPENBLAS_NUM_THREADS": "2"},
    "no AVX2 for NumPy": {"NPY_DISABLE_CPU_FEATURES": "X86_V3 AVX2 FMA3"},
    "no AVX2 for the C library": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"},
    "all of it": {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_ENABLE_CPU_FEATURES": "",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3",
        "GLIBC_TUNABLES": "glibc.malloc.check=0:glibc.cpu.hwcaps=-FMA",
        "OPENBLAS_BLOCK_FACTOR": "30",
        "OMP_NUM_THREADS": "3",
        "GOTO_NUM_THREADS": "5",
    },
}
"""What a caller's environment may say."""
CRASHING = {"NPY_ENABLE_CPU_FEATURES": "X86_V3", "NPY_DISABLE_CPU_FEATURES": "X86_V3"}
"""With both, NumPy cannot be imported."""

UNPROTECTED = """
from nnlab.cli import main
from nnlab.runs import runtime
runtime.pin_kernel = runtime._check_portable = lambda kernel: None
main()
"""
EARLY = "import numpy\nfrom nnlab.cli import main\nmain()\n"
"""As a `sitecustomize` does it that imports NumPy."""


def _avx2():
    simd = np.show_config(mode="dicts").get("SIMD Extensions", {})
    return bool({"X86_V3", "AVX2"} & {*simd.get("baseline", []), *simd.get("found", [])})


pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not _avx2(), reason="needs an x86-64 processor with AVX2"
)


@pytest.fixture
def weights(tmp_path_factory):
    """Trains in a folder of its own; the SHA-256 of the weights of each run, in order."""

    def train(*arguments, script=None, **environment):
        lab = Lab(tmp_path_factory.mktemp("lab"))
        if script:
            (lab.folder / "script.py").write_text(script)
            done = lab(*arguments, script=str(lab.folder / "script.py"), **environment)
        else:
            done = lab(*arguments, **environment)
        tagged = [[r["tags"] for r in lab.records(run) if r["type"] == "tags"] for run in done.runs]
        return [next(tags[WEIGHTS] for tags in one if WEIGHTS in tags) for one in tagged]

    return train


@pytest.fixture(scope="module")
def bits(tmp_path_factory):
    """What the tests of this module found: (kernel, environment) -> hashes."""
    return {}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_portable_has_the_same_bits_in_every_environment(weights, bits, hostile):
    found = weights(*TRAININGS, "runtime=portable", **hostile)
    assert len(set(found)) == 2
    assert found == bits.setdefault("portable", found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nothing", "another core", "all of it"])
def test_native_is_not_changed_by_the_caller_either(weights, bits, name):
    found = weights(*TRAININGS, **HOSTILE[name])
    assert found == bits.setdefault("native", found)


@pytest.mark.slow
def test_without_protection_each_of_these_environments_gives_other_bits(weights):
    """The control: else the tests above would hold for nothing."""
    found = {
        name: tuple(weights(*TRAININGS, script=UNPROTECTED, **hostile))
        for name, hostile in HOSTILE.items()
    }
    assert len(set(found.values())) == len(HOSTILE), found


@pytest.mark.slow
def test_numpy_that_is_loaded_before_is_loaded_anew(weights, bits):
    found = weights(*TRAININGS, "runtime.kernel=portable", script=EARLY, **HOSTILE["all of it"])
    assert found == bits.setdefault("portable", found)


def test_variables_with_which_numpy_does_not_load(weights, bits):
    found = weights(*TRAININGS, "runtime=portable", **CRASHING)
    assert found == bits.setdefault("portable", found)


def test_a_command_begins_anew_once(tmp_path):
    """Whoever puts the variable back each time gets an error, not an endless command."""
    lab = Lab(tmp_path)
    (tmp_path / "script.py").write_text(
        "import os\nos.environ['OPENBLAS_CORETYPE'] = 'Prescott'\n"
        "print('begun', os.environ.get('NNLAB_RESTARTED'), flush=True)\n" + EARLY
    )
    done = lab("train", "tracking=none", script=str(tmp_path / "script.py"), code=2)
    assert done.out == "begun None\nbegun 1\n"
    assert done.err.startswith("nnlab: OPENBLAS_CORETYPE cannot be changed any more")
    assert not lab.store.exists()


def test_two_kernels_in_one_command_are_refused(tmp_path):
    lab = Lab(tmp_path)
    short = ["tracking=none", "data=iris", "stopping.max_epochs.epochs=1"]
    done = lab("train", "--multirun", *short, "runtime=native,portable", code=2)
    assert done.err == (
        "nnlab: a command computes with one kernel, but this one has begun with native and got "
        "runtime.kernel=portable; use a command for each\n"
    )
    assert len(done.runs) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "validation=kfold", "validation.folds=3", "seeds=2"],
        ["sweep", "trials=3", "workers=2"],
    ],
    ids=["folds and seeds", "a sweep"],
)
def test_nested_runs_and_trials_are_portable_too(tmp_path, arguments):
    short = ["tracking=none", "stopping.max_epochs.epochs=2", "runtime=portable"]
    found = []
    for name in ("nothing", "all of it"):
        lab = Lab(tmp_path / name)
        lab.folder.mkdir()
        lab(*arguments, *short, **HOSTILE[name])
        records = [record for run in lab.runs() for record in lab.records(run)]
        found.append(
            sorted(
                record["tags"][WEIGHTS]
                for record in records
                if record["type"] == "tags" and WEIGHTS in record["tags"]
            )
        )
    assert len(found[0]) >= 2
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_run_is_reproduced_and_gone_on_with_by_its_own_kernel(tmp_path):
    """Reproduction pins by what was logged; so does --resume, whatever the caller says now."""
    lab = Lab(tmp_path)
    (run,) = lab("train", "runtime=portable", "stopping.max_epochs.epochs=2").runs
    hostile = HOSTILE["all of it"]
    assert "identical: the run is reproduced bit for bit" in lab("reproduce", run, **hostile).out
    assert "identical: the run" in lab("reproduce", run, **CRASHING).out
    long = ["tracking=none", "runtime=portable", "stopping.max_epochs.epochs=40"]
    (whole,) = lab("train", *long).runs
    known = lab.runs()
    with lab.start("train", *long, "checkpoint_every=1 epoch") as process:
        (broken,) = lab.wait_for_runs(process, known)
        process.terminate()
        process.wait(timeout=60)
    lab("train", "--resume", broken, **hostile)
    hashes = [
        [r["tags"][WEIGHTS] for r in lab.records(one) if WEIGHTS in r.get("tags", {})]
        for one in (whole, broken)
    ]
    assert hashes[0] == hashes[1] != []


@pytest.mark.slow
def test_what_was_loaded_is_recorded(tmp_path):
    lab = Lab(tmp_path)
    short = ["tracking=none", "data=iris", "stopping.max_epochs.epochs=1"]
    (run,) = lab("train", *short, "runtime=portable", **HOSTILE["all of it"]).runs
    done = subprocess.run(
        [sys.executable, "-m", "json.tool", lab.store / "runs" / run / "environment.json"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    for line in ('"architecture": "Haswell"', '"num_threads": 1', '"libc": "'):
        assert line in done.stdout
