"""`nnlab train --resume RUN`: what it says, and what it refuses without touching anything."""

import json
import math
import os
import re
import shutil
import signal
from zlib import crc32

import pytest
import yaml

SMALL = ("tracking=none", "data=iris", "evaluate_every=40 steps", "checkpoint_every=40 steps")


@pytest.fixture(scope="module")
def left(tmp_path_factory, lab):
    """A store with a run that was interrupted, and one that came to its end: (store, run, done)."""
    made = type(lab)(tmp_path_factory.mktemp("left"))
    with made.start("train", *SMALL, "stopping.max_epochs.epochs=2000") as process:
        (run,) = made.wait_for_runs(process, set())
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    (done,) = made("train", *SMALL, "stopping.max_epochs.epochs=20").runs
    assert process.returncode == 130
    return made.store, run, done


@pytest.fixture
def again(left, bench):
    """A copy of that store which a test may change: (bench, path of the run)."""
    shutil.copytree(left[0], bench.store)
    return bench, bench.store / "runs" / left[1]


def content(folder):
    """Every file and what is in it."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checkpoints(path):
    return sorted((path / "checkpoints").glob("step-*"))


def rewritten(path, **changes):
    """Change the first record of a journal, as if it had been written so."""
    first, rest = (path / "journal.jsonl").read_bytes().split(b"\n", 1)
    record = json.loads(first) | changes
    del record["crc"]
    body = json.dumps(record, separators=(",", ":"))[1:].encode()
    (path / "journal.jsonl").write_bytes(b'{"crc":"%08x",%b\n' % (crc32(body), body) + rest)


def one_ulp(path):
    config = yaml.safe_load((path / "config.yaml").read_text())
    config["optimizer"]["lr"] = math.nextafter(config["optimizer"]["lr"], 1)
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    return (r"is of another config: optimizer.lr was 0\.05 then and is 0\.05\d+ now",)


def no_key(path):
    text = (path / "config.yaml").read_text().replace("batch_size: 32\n", "")
    (path / "config.yaml").write_text(text)
    return (r"batch_size was 32 then and is nothing now \(config.yaml\)",)


def all_truncated(path):
    for file in checkpoints(path):
        file.write_bytes(file.read_bytes()[:-1])
    return (
        *(file.name for file in checkpoints(path)),
        "without .*/checkpoints the run begins again",
    )


def as_kind(kind, *words):
    def spoil(path):
        rewritten(path, kind=kind, parent="0123456789ab")
        return words

    return spoil


def as_ambiguous(path):
    shutil.copytree(path, path.with_name("f" * 12))
    shutil.copytree(path, path.with_name("f" * 11 + "0"))
    return (r"fff begins the ids of 2 runs: f{11}0, f{12}$",)


def as_damaged(path):
    journal = path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"step":40', b'"step":41', 1))
    return ("journal.jsonl is damaged at byte",)


REFUSED = {
    "an edited config": one_ulp,
    "a config without a key": no_key,
    "no sound checkpoint": all_truncated,
    "a member": as_kind("member", "is one of the trainings of run 0123456789ab: resume that"),
    "a study": as_kind("study", "is a study; a training or a trial can be resumed"),
    "a reproduction": as_kind("reproduction", "is a reproduction; a training or a trial can be"),
    "an ambiguous id": as_ambiguous,
    "a damaged journal": as_damaged,
}


@pytest.mark.parametrize("spoil", REFUSED.values(), ids=REFUSED)
def test_what_cannot_go_on_is_refused_and_nothing_is_touched(again, spoil):
    bench, path = again
    words = spoil(path)
    before = content(bench.folder)
    run = "fff" if spoil is as_ambiguous else path.name
    done = bench("train", "--resume", run, code=2)
    for word in words:
        assert re.search(word, done.err.strip())
    assert done.err.startswith("nnlab: ") and done.err.count("\n") == 1
    assert done.out == ""
    assert content(bench.folder) == before


def test_a_run_that_has_come_to_its_end_is_refused(again, left):
    bench, _ = again
    before = content(bench.folder)
    done = bench("train", "--resume", left[2], code=2)
    assert re.fullmatch(
        rf"nnlab: \S+ \(run {left[2]}\) has come to its end: epoch 20 is done\n", done.err
    )
    assert content(bench.folder) == before


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--resume", "0" * 13), "there is no run 0000000000000 in mlruns/runs"),
        (("--resume", "RUN", "--store", "nowhere"), "there is no run .* in nowhere/runs"),
        (("--resume", "RUN", "optimizer.lr=1"), "and takes no optimizer.lr=1"),
        (("optimizer.lr=1", "--resume", "RUN"), "and takes no optimizer.lr=1"),
        (("--resume=RUN", "seed=1"), "and takes no seed=1"),
        (("--resume", "RUN", "--multirun"), "and takes no --multirun"),
        (("--resume",), "--resume: expected one argument"),
    ],
)
def test_what_is_not_understood_is_refused(again, arguments, word):
    bench, path = again
    before = content(bench.folder)
    given = [argument.replace("RUN", path.name) for argument in arguments]
    done = bench("train", *given, code=2)
    assert re.search(word, done.err)
    assert content(bench.folder) == before


def test_a_run_that_is_being_written_is_refused_with_its_process(bench):
    with bench.start("train", *SMALL, "stopping.max_epochs.epochs=1000000") as process:
        (run,) = bench.wait_for_runs(process, set())
        done = bench("train", "--resume", run, code=2)
        process.terminate()
        process.communicate(timeout=120)
    assert re.fullmatch(
        rf"nnlab: \S+ \(run {run}\) is being written by process {process.pid} on \S+\n", done.err
    )
    assert {line["type"] for line in bench.records(run)} == {"start", "data", "report", "end"}


@pytest.mark.parametrize("spelling", ["--resume {}", "--resume={}", "--resume {} --store mlruns"])
@pytest.mark.slow
def test_it_goes_on_and_says_from_where(again, left, spelling):
    bench, path = again
    step = int(checkpoints(path)[-1].name.split("-")[1])
    reports = [line for line in bench.records(path.name) if line["type"] == "report"]
    done = bench("train", *spelling.format(path.name[:10]).split())
    first, second, *_ = done.out.splitlines()
    assert first == f"going on at step {step}; {len(reports)} evaluations are there"
    assert second.endswith(f"  run {path.name}")
    assert "epoch 2000 is done: 8000 steps" in done.out
    assert bench.records(path.name)[-1]["status"] == "FINISHED"
    assert "has come to its end" in bench("train", "--resume", path.name, code=2).err


@pytest.mark.slow
def test_a_truncated_checkpoint_is_said_and_the_one_before_is_used(again):
    bench, path = again
    older, newer = checkpoints(path)
    newer.write_bytes(newer.read_bytes()[:-1])
    done = bench("train", "--resume", path.name)
    said, going, *_ = done.out.splitlines()
    assert said.startswith(f"checkpoint {newer.name} cannot be used: ")
    assert going.startswith(f"going on at step {int(older.name.split('-')[1])}; ")
    assert bench.records(path.name)[-1]["status"] == "FINISHED"


@pytest.mark.slow
def test_a_run_from_another_environment_goes_on_with_a_warning(again):
    bench, path = again
    facts = json.loads((path / "environment.json").read_text())
    facts["packages"]["numpy"] = "1.0.0"
    (path / "environment.json").write_text(json.dumps(facts))
    done = bench("train", "--resume", path.name)
    assert "the environment differs (then -> now): packages.numpy: 1.0.0 -> " in done.out
