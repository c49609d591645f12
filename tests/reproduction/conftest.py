"""Hand-made runs as a tracker knows them."""

import math

import pytest

from nnlab.reproduction.comparison import Hash, Stopped, compare
from nnlab.reproduction.environment import judged
from nnlab.reproduction.logged import Ended, Logged
from nnlab.reproduction.parameters import Parameter, Weights
from nnlab.reproduction.verdict import Reproduction
from nnlab.runs.plain import flatten
from nnlab.tracking.entries import last_words

collect_ignore = ["hostile_driver.py"]  # a script, beside its corpus

POINTS = {
    (0, "train/loss"): 2.5,
    (0, "validation/loss"): 2.75,
    (40, "train/loss"): 0.1 + 0.2,
    (40, "validation/loss"): 0.5,
    (40, "test/loss"): 0.75,
}
HASHES = {
    "nnlab.weights_sha256": "aa",
    "nnlab.averaged_sha256": "bb",
    "nnlab.data_sha256": "cc",
    "nnlab.batches_sha256": "dd",
}
CONFIG = {"seed": 3, "optimizer": {"name": "sgd", "lr": 0.05}}
FACTS = {
    "nnlab": "0.1.0",
    "git": {"commit": "1" * 40, "dirty": False},
    "code": "c0de",
    "python": "3.12.1",
    "packages": {"numpy": "2.4.6", "scipy": "1.17.1", "mlflow": "3.17.2"},
    "installed": {"numpy": "2.4.6", "pyarrow": "20.0", "rich": "14.0"},
    "blas": [
        {
            "internal_api": "openblas",
            "version": "0.3.31",
            "architecture": "Haswell",
            "num_threads": 1,
        }
    ],
    "cpu_features": ["X86_V2", "X86_V3"],
    "libc": "glibc 2.36",
    "machine": "x86_64",
    "system": "Linux 6.1",
    "cpus": 2,
}


END = {
    "type": "end",
    "status": "FINISHED",
    "rule": "max_epochs",
    "reason": "epoch 3 is done",
}


def tagged(environment):
    """What a run's beginning says of its environment."""
    git, plugins = environment.get("git"), environment.get("plugins")
    git = git if isinstance(git, dict) else {}
    return {
        "nnlab.version": str(environment.get("nnlab")),
        "nnlab.git_commit": str(git.get("commit")),
        "nnlab.git_dirty": str(git.get("dirty")),
        **({"nnlab.plugins": ", ".join(plugins)} if plugins else {}),
    }


def journal(config=CONFIG, points=POINTS, tags=HASHES, environment=FACTS, data=None, end=END):
    """The records of a run."""
    steps = sorted({step for step, _ in points})
    reports = [
        {"type": "report", "step": s, "metrics": {n: v for (at, n), v in points.items() if at == s}}
        for s in steps
    ]
    start = {
        **{"type": "start", "run": "run", "kind": "train"},
        **{"params": dict(flatten(config)), "tags": tagged(environment)},
    }
    told = [] if data is None else [{"type": "data", **data}]
    ends = [end] if end else []
    return [start, *told, *reports, {"type": "tags", "tags": dict(tags)}, *ends]


@pytest.fixture
def logged():
    """Makes a run that MLflow knows; by default all that is known of it agrees."""

    def make(points=POINTS, rule="max_epochs", tags=HASHES, config=CONFIG, **more):
        environment, status = more.pop("environment", FACTS), more.pop("status", "FINISHED")
        end = rule and {**END, "rule": rule}
        more.setdefault("params", dict(flatten(CONFIG)))
        data = more.get("data")
        more.setdefault("journal", journal(environment=environment, data=data, end=end))
        told = {"nnlab.run": "run", "nnlab.kind": "train", **tagged(environment), **tags}
        told |= last_words(end) if end else {}
        told |= more.pop("ended", {})
        return Logged(
            config, environment, "run", "mlflow", "name-1234", status, told, dict(points), **more
        )

    return make


@pytest.fixture
def reproduction(logged):
    """Makes what came of training a hand-made run again; by default every bit is equal."""

    def make(original=None, points=POINTS, environment=FACTS, ended=None, hashes=None, **more):
        original = original or logged()
        arrays = more.pop("arrays", {"a.weight": ("11", "11", 0.0)})
        return Reproduction(
            original,
            "0123456789ab",
            compare(original, points),
            Stopped(
                original.ended,
                ended or Ended("max_epochs", "epoch 3 is done", 40),
                original.by_config,
            ),
            {
                tag: Hash(original.tags.get(tag), value)
                for tag, value in {**HASHES, **(hashes or {})}.items()
            },
            Weights({name: Parameter(*one) for name, one in arrays.items()}, {}),
            judged(original.environment, environment, more.pop("diffs", ("", ""))),
            **more,
        )

    return make


def nudged(points, key, ulps=1):
    """The points with one of them a few bits larger."""
    value = points[key]
    for _ in range(ulps):
        value = math.nextafter(value, math.inf)
    return {**points, key: value}
