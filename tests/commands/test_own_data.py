"""One's own files, as a user trains on them."""

import re

import numpy as np
import pytest
from PIL import Image

SHORT = ("tracking=none", "model=linear", "stopping.max_epochs.epochs=20")


@pytest.fixture
def people(bench):
    """A table like one of a shipwreck: numbers, categories, and some of both missing."""
    rng = np.random.default_rng(0)
    lines = ["name,sex,age,fare,port,survived"]
    for k in range(300):
        sex, fare = rng.choice(["male", "female"]), rng.gamma(2, 15)
        age = "" if rng.random() < 0.2 else f"{rng.normal(35, 12):.1f}"
        port = "" if rng.random() < 0.02 else rng.choice(list("CQS"))
        survived = int(rng.random() < (0.85 if sex == "female" else 0.15))
        lines.append(f'"{k}, Mr. or Mrs.",{sex},{age},{fare:.2f},{port},{survived}')
    (bench.folder / "people.csv").write_text("\n".join(lines) + "\n")
    return bench


def bits(lab, run):
    """What a run logged of the bits of its data and its weights."""
    return [one["tags"] for one in lab.records(run) if one["type"] == "tags"]


def test_a_table_is_trained_on_to_the_same_bits(people):
    own = ("data=table", "data.path=people.csv", "data.target=survived", "data.missing=median")
    first = people("train", *own, "data.ignore=[name]", *SHORT)
    here = f"data.path={people.folder / 'people.csv'}"
    second = people("train", *own, here, "data.ignore=[name]", *SHORT)
    assert bits(people, *first.runs) == bits(people, *second.runs) != []
    (accuracy,) = re.findall(r"^test .* ([0-9.]+) %$", first.out, re.MULTILINE)
    assert float(accuracy) > 70  # the sex tells 85 % of them


SAID = {  # what is left out or changed: what the command says
    "no target": (
        ["data.path=people.csv"],
        "nnlab: data.target must name the column that is to be predicted; people.csv has name, sex",
    ),
    "a name for each row": (
        ["data.path=people.csv", "data.target=survived"],
        "nnlab: people.csv: column name has 300 different texts in 300 rows",
    ),
    "values missing": (
        ["data.path=people.csv", "data.target=survived", "data.ignore=[name]"],
        "nnlab: people.csv has rows without a value: age in ",
    ),
    "no file": (
        ["data.path=poeple.csv"],
        "nnlab: poeple.csv does not exist (did you mean people.csv?)",
    ),
    "no path": ([], "nnlab: `path names a file` must hold, but got path='' (data.path)"),
    "a folder": (["data.path=."], "nnlab: . is a folder, not a file"),
}


@pytest.mark.parametrize("what", SAID)
def test_a_table_that_cannot_be_used_ends_in_one_line(people, what):
    overrides, said = SAID[what]
    done = people("train", "data=table", *overrides, *SHORT, code=2)
    assert done.err.startswith(said)
    assert done.err.count("\n") == 1
    assert not people.store.exists()


def test_files_of_parts_are_trained_on(bench):
    rng = np.random.default_rng(0)
    for name, n in (("train", 200), ("validation", 50), ("test", 100)):
        x = rng.normal(size=(n, 3))
        np.save(bench.folder / f"{name}.npy", np.column_stack([x, x @ [1, -2, 0.5]]))
    done = bench(
        "train",
        "data=table",
        "data.path=train.npy",
        "data.validation_path=validation.npy",
        "data.test_path=test.npy",
        "data.test=0",
        "validation=given",
        "loss=mse",
        *SHORT,
    )
    assert len(done.runs) == 1


def test_images_are_trained_on(bench):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (bench.folder / "pictures" / name).mkdir(parents=True)
        for k in range(30):
            image = rng.integers(0, 128, (8, 6, 3), np.uint8) + np.uint8(100 * label)
            Image.fromarray(image).save(bench.folder / "pictures" / name / f"{k}.png")
    done = bench("train", "data=images", "data.path=pictures", *SHORT)
    assert len(done.runs) == 1
    done = bench("train", "data=images", "data.path=picture", *SHORT, code=2)
    assert done.err.startswith("nnlab: picture does not exist (did you mean pictures?)")
