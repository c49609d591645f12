"""What `nnlab data info` does with data that are larger than memory."""

import tracemalloc

import numpy as np
import pytest

from nnlab.commands import description


@pytest.fixture
def files(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(300_000, 20)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.chdir(tmp_path)
    return x


def test_streamed_data_are_described_without_holding_them(files, capsys):
    description.describe("table", ["data.path=x.npy"], None)  # imports and caches
    whole = capsys.readouterr().out
    overrides = ["data.path=x.npy", "data.window=1000"]
    description.describe("table", overrides, None)
    capsys.readouterr()
    tracemalloc.start()
    description.describe("table", overrides, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    streamed = capsys.readouterr().out
    assert peak < 20e6  # of 24 MB, 46 MB as float64
    assert [line for line in streamed.splitlines() if "number" in line] == [
        line for line in whole.splitlines() if "number" in line
    ]
    assert f"{files[:, 0].min():.5g}" in streamed
