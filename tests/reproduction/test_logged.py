"""What is fetched of a run, read from files that may be anybody's."""

import json
import math
import subprocess

import pytest

from nnlab.errors import UserError
from nnlab.reproduction.logged import NotBegunError, fetch, of_folder, several, study
from nnlab.runs.journal import encode


@pytest.mark.parametrize(
    ("rule", "by_config", "until"),
    [
        ("max_epochs", True, 40),
        ("patience", True, 40),
        ("diverged", True, 41),  # it may have been between two evaluations
        ("time_budget", False, 40),
        ("pruned", False, 40),
        ("interrupted", False, 40),
        ("died", False, 40),
        ("raised", False, 40),
        (None, False, 40),  # it never came to an end
    ],
)
def test_a_run_is_repeated_up_to_its_last_step(logged, rule, by_config, until):
    assert (logged(rule=rule).by_config, logged(rule=rule).until) == (by_config, until)


def test_a_run_without_reports_has_nothing_to_reproduce(logged):
    assert logged({}).last_step == 0
    with pytest.raises(NotBegunError, match="name-1234 never began to train: epoch 3 is done"):
        logged({}).check_begun()
    logged().check_begun()


def test_what_the_fetching_process_says_last_is_the_error(tmp_path, monkeypatch):
    for stderr, message in {
        "a warning\nno such run\n": "no such run",
        "": "sqlite:///x cannot be read",
    }.items():
        done = subprocess.CompletedProcess([], 2, "", stderr)
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **options: done)
        for ask in (
            lambda: fetch("sqlite:///x", "abc", tmp_path),
            lambda: study("sqlite:///x", "a"),
        ):
            with pytest.raises(UserError) as error:
                ask()
            assert str(error.value) == message


@pytest.fixture
def folder(tmp_path):
    """The files of a run."""
    logged = {
        "run": "r", "mlflow": "m", "name": "n", "status": "FINISHED", "tags": {}, "params": {},
        "metrics": {"train/loss": [[0, 1.0], [9, 0.5]], "time/seconds": [[9, 2.0]]},
    }  # fmt: skip
    (tmp_path / "logged.json").write_text(json.dumps(logged))
    (tmp_path / "config.yaml").write_text("seed: 1")
    (tmp_path / "environment.json").write_text("{}")
    return tmp_path


def journal(folder, *records):
    lines = [encode({"n": n, "time": 0, **record}) + b"\n" for n, record in enumerate(records)]
    (folder / "journal.jsonl").write_bytes(b"".join(lines))


START = {"type": "start", "run": "r", "kind": "train", "params": {"seed": "1"}, "tags": {}}


def test_everything_comes_from_the_folder(folder):
    journal(folder, START, {"type": "report", "step": 9, "metrics": {"a": "NaN", "b": 0.5}})
    (folder / "uncommitted.diff").write_bytes(b"a\r\n\xff")
    (folder / "data.json").write_text('{"name": "digits"}')
    (folder / "weights.npz").write_bytes(b"")
    run = of_folder(folder)
    assert run.points == {(0, "train/loss"): 1.0, (9, "train/loss"): 0.5}
    assert (run.diff, run.data, run.damage) == ("a\r\n\udcff", {"name": "digits"}, "")
    assert run.weights == [folder / "weights.npz"]
    assert repr(dict(run.journaled)) == "{(9, 'a'): nan, (9, 'b'): 0.5}"


def test_an_older_run_has_less(folder):
    run = of_folder(folder)
    assert (run.diff, run.data, run.journal, run.damage, run.weights) == (None, None, None, "", [])
    assert run.journaled == {}


def test_a_journal_that_was_changed_is_damaged(folder):
    journal(folder, START, {"type": "report", "step": 9, "metrics": {"train/loss": 0.5}})
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    run = of_folder(folder)
    assert run.journal is None
    assert run.damage.startswith("journal.jsonl is damaged at byte ")


@pytest.mark.parametrize(
    "record",
    [
        {"type": "tags", "tags": {}},
        {"type": "start"},
        {"type": "start", "params": 7, "tags": {}},
        {"no": "type"},
        "",
    ],
    ids=str,
)
def test_a_journal_that_no_run_writes_is_damaged(folder, record):
    journal(folder, record) if record else journal(folder)
    run = of_folder(folder)
    assert run.journal is None
    assert "no record" in run.damage or "that no run writes" in run.damage


REPORT = {"type": "report", "step": 40, "metrics": {"a": 0.5}}


@pytest.mark.parametrize(
    "record",
    [
        *({**REPORT, "step": step} for step in ("40", 40.7, True, None, -1, 2**70)),
        *({**REPORT, "metrics": {"a": a}} for a in ("0.5", True, None, [], 10**400, "inf")),
        *({"type": "tags", "tags": tags} for tags in ({"a": ["b"]}, {"a": 7}, ["a"], None)),
        *({**START, "params": {"seed": 1}}, {**START, "tags": {"a": None}}),
        *({"type": "end", "status": "FINISHED", "rule": rule, "reason": "x"} for rule in (7, [])),
        *({"type": kind} for kind in (7, None, [], "start", "report")),
    ],
    ids=str,
)  # fmt: skip
def test_a_record_of_the_wrong_types_is_damage_that_is_named(folder, record):
    records = [record] if record.get("params") else [START, REPORT | {"step": 7}, record]
    journal(folder, *records)
    run = of_folder(folder)
    assert run.journal is None
    assert run.damage.startswith(f"record {len(records) - 1} has a field ")
    assert "that no run writes" in run.damage


def test_two_reports_of_one_step_are_damage(folder):
    journal(folder, START, REPORT, REPORT)
    assert "record 2 is a report of step 40 after one of step 40" in of_folder(folder).damage


def test_data_within_data_beyond_all_measure_are_damage(folder):
    deep = 7
    for _ in range(40):
        deep = {"a": [deep]}
    journal(folder, START, {"type": "data", "deep": deep})
    assert of_folder(folder).damage.startswith("record 1 has a field data ")


def test_several_values_of_a_point_and_what_mlflow_shows_are_kept(folder):
    file = folder / "logged.json"
    logged = json.loads(file.read_text())
    logged["metrics"] = {
        "a": [[0, 1.0], [9, 0.5], [9, 0.25]],
        "b": [[0, math.nan], [0, math.nan], [9, 0.0], [9, -0.0]],
        "c": [[0, 1.0], [0, math.nan]],
    }
    file.write_text(json.dumps({**logged, "latest": {"a": 0.5}}))
    run = of_folder(folder)
    assert repr(run.several) == "{(9, 'a'): [0.5, 0.25], (0, 'c'): [1.0, nan]}"
    assert run.latest == {"a": 0.5}


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{", "7"], ids=lambda text: text[:5])
def test_json_that_is_no_object_is_refused_by_its_name(folder, text):
    (folder / "environment.json").write_text(text)
    with pytest.raises(UserError, match=r"environment\.json"):
        of_folder(folder)


def test_a_journal_that_is_larger_than_is_read_is_no_damage(folder):
    (folder / "not_compared.txt").write_text("it is too large")
    run = of_folder(folder)
    assert (run.journal, run.damage, run.not_compared) == (None, "", "it is too large")


def test_an_environment_of_another_shape_is_refused(folder):
    (folder / "environment.json").write_text('{"installed": [1]}')
    with pytest.raises(UserError, match="`installed` must be a mapping from names to versions"):
        of_folder(folder)


def test_weights_of_seeds_and_folds_are_in_their_order_or_not_at_all(folder):
    for k in (10, 2, *range(2), *range(3, 10)):
        (folder / "members" / str(k)).mkdir(parents=True)
        (folder / "members" / str(k) / "weights.npz").write_bytes(b"")
    assert [path.parent.name for path in of_folder(folder).weights] == [str(k) for k in range(11)]
    (folder / "members" / "4" / "weights.npz").unlink()
    assert of_folder(folder).weights == []


def test_several_runs_are_fetched_a_few_at_a_time_and_what_is_wrong_with_one_is_told(
    folder, monkeypatch
):
    from nnlab.reproduction import logged as module

    asked = []
    (folder / "weights.npz").write_bytes(b"")

    def fetched(uri, ids, into, what):
        asked.append((ids.split(","), what))
        for id in ids.split(","):
            (into / id).mkdir()
            if id == "m3":
                (into / id / "error.txt").write_text("no artifact config.yaml")
                continue
            for file in folder.iterdir():
                (into / id / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(module, "_fetch", fetched)
    trials = [module.Trial(k, f"r{k}", f"m{k}", f"n{k}", "COMPLETE") for k in range(25)]
    found, folders = [], []
    for one in several("uri", trials):
        found.append(one)
        own = [path.parent for path in getattr(one[1], "weights", ())]
        folders += own
        assert [path for path in folders if path.exists()] == own
    assert len(folders) == 24
    assert [len(ids) for ids, _ in asked] == [20, 5]
    assert {what for _, what in asked} == {"several"}
    assert [trial.trial for trial, _ in found] == list(range(25))
    assert [str(one) for _, one in found if isinstance(one, UserError)] == [
        "no artifact config.yaml"
    ]
