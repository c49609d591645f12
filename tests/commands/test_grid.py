"""Options of Hydra may stand between overrides."""

import subprocess
import sys
from pathlib import Path

NNLAB = Path(sys.executable).with_name("nnlab")


def run(folder, *arguments):
    return subprocess.run(
        [NNLAB, "train", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_multirun_may_stand_between_overrides(tmp_path):
    overrides = ("data=iris", "tracking=none", "stopping.max_epochs.epochs=1")
    done = run(tmp_path, *overrides, "--multirun", "seed=1,2")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "mlruns/runs").iterdir())) == 2
