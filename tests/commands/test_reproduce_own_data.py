"""Runs on a file of one's own, reproduced elsewhere from what MLflow has."""

import re
import shutil
from hashlib import sha256

import numpy as np
import pytest

from nnlab.runs.about import DATA

SHORT = ("model=linear", "stopping.max_epochs.epochs=2", "validation=kfold", "validation.folds=2")


@pytest.fixture(scope="module")
def gone(lab, trained, tmp_path_factory):
    """A run on a table, whose directory is gone; where its file is now, and the tracker."""
    folder = lab.folder / "tables"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=(60, 3)).round(3), np.arange(60) % 2])
    np.savetxt(folder / "t.csv", rows, "%g", ",", header="a,b,c,kind", comments="")
    own = ("data=table", "data.path=tables/t.csv", "data.target=kind", "data.test=0.2")
    (run,) = lab("train", *own, *SHORT).runs
    kept = tmp_path_factory.mktemp("kept") / "t.csv"
    shutil.move(folder / "t.csv", kept)
    folder.rmdir()
    directory = lab.store / "runs" / run
    shutil.move(directory, kept.with_name(run))
    yield kept, run, f"sqlite:///{lab.database}"
    shutil.move(kept.with_name(run), directory)  # others count on the store being whole


def fingerprint(path):
    return sha256(path.read_bytes()).hexdigest()


def test_the_file_is_found_by_its_content(gone, bench):
    kept, run, uri = gone
    folder = bench.folder / "attic" / "of" / "files"
    folder.mkdir(parents=True)
    shutil.copy(kept, folder / "renamed.csv")
    done = bench("reproduce", run, "--uri", uri, "--data", "attic")
    assert "\nidentical: " in done.out
    (new,) = re.findall(r"as ([0-9a-f]{12})$", done.out, re.MULTILINE)
    (start,) = [one for one in bench.records(new) if one["type"] == "start"]
    assert start["params"]["data.path"] == "attic/of/files/renamed.csv"
    assert fingerprint(kept) in (bench.store / "runs" / new / DATA).read_text()


@pytest.mark.slow
def test_a_file_that_differs_is_named_with_both_fingerprints_and_nothing_is_trained(gone, bench):
    kept, run, uri = gone
    content = bytearray(kept.read_bytes())
    content[-2] ^= 1  # another class of the last row
    file = bench.folder / "tables" / "t.csv"
    file.parent.mkdir()
    file.write_bytes(content)
    done = bench("reproduce", run, "--uri", uri, code=2)
    assert done.err.startswith("nnlab: data.path names the file 'tables/t.csv', ")
    assert fingerprint(kept) in done.err.splitlines()[0]
    said = rf"\n  (\S*/)?tables/t\.csv has [0-9,]+ bytes with the SHA-256 {fingerprint(file)}\n"
    assert re.search(said, done.err)
    assert not bench.store.exists()


@pytest.mark.slow
def test_a_fold_is_reproduced_with_the_file_of_its_run(gone, bench, lab):
    kept, run, uri = gone
    ((fold,),) = lab.rows(
        "SELECT a.value FROM tags a JOIN tags b USING (run_uuid) WHERE a.key = 'nnlab.run' "
        "AND b.key = 'mlflow.parentRunId' AND b.value = (SELECT run_uuid FROM tags WHERE "
        "key = 'nnlab.run' AND value = ?) ORDER BY a.value LIMIT 1",
        run,
    )
    done = bench("reproduce", fold, "--uri", uri, "--data", "no.csv", code=2)
    assert "--data names a file or a folder, but no.csv does not exist" in done.err
    assert "\nidentical: " in bench("reproduce", fold, "--uri", uri, "--data", str(kept)).out
