"""The fingerprint is of what a file says, not of how it says it."""

import gzip

import numpy as np
import pandas as pd
import pytest

from nnlab.data.sources.table import Table

ROWS = np.random.default_rng(0).normal(size=(40, 3))


@pytest.fixture
def files(tmp_path):
    """The same table of floats and whole numbers, written by pandas in several ways."""
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    frame["kind"] = np.arange(40) % 3
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_feather(tmp_path / "t.feather")
    return {path.name: path for path in tmp_path.iterdir()}


def fingerprint(path, target="kind"):
    return Table(path=str(path), target=target).load().fingerprint


def test_the_same_content_has_the_same_fingerprint_in_every_format(files):
    found = {name: fingerprint(path) for name, path in files.items()}
    assert len(found) == 5
    assert len(set(found.values())) == 1, found


def test_another_digit_of_one_number_is_another_content(files):
    text = files["t.csv"].read_text().splitlines()
    first, rest = text[1].split(",", 1)
    text[1] = f"{float(np.nextafter(float(first), 9))!r},{rest}"
    changed = files["t.csv"].with_name("other.csv")
    changed.write_text("\n".join(text) + "\n")
    assert fingerprint(changed) != fingerprint(files["t.csv"])


def test_another_name_or_date_is_the_same_content(files, tmp_path):
    before = fingerprint(files["t.parquet"])
    moved = files["t.parquet"].rename(tmp_path / "elsewhere.parquet")
    assert fingerprint(moved) == before
