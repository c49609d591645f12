"""`nnlab sync`: what it sends where, with trackers that only pretend; and a few times for real."""

import re
import shutil
from types import SimpleNamespace

import pytest

from nnlab.commands.sync import run as sync
from nnlab.errors import UserError
from nnlab.runs.journal import Journal
from nnlab.runs.owner import Owner
from nnlab.tracking.known import UnreadableError
from nnlab.tracking.process import Tracked
from nnlab.tracking.sent import Sent, remember

OWN, SERVER = "sqlite:///mlruns/mlflow.db", "http://h:1"


class Shop:
    """A store of runs, and trackers that take what they are sent."""

    def __init__(self, folder):
        self.folder = folder / "mlruns" / "runs"
        self.followed = []
        """(uri, run) in the order in which they were sent."""
        self.there = {}
        """By uri: the stages of each run that MLflow has."""
        self.unreadable = set()
        self.refuses = {}
        """By run: why it cannot be sent."""

    def run(self, name, uri=OWN, parent=None, kind="train", sent=None, end=True):
        """Make a run; `sent` to that tracker, completely."""
        path = self.folder / name
        path.mkdir(parents=True)
        journal = Journal(path / "journal.jsonl")
        params = {"experiment.store" if kind == "study" else "store": "mlruns"}
        fields = {"run": name, "kind": kind, "name": f"the {name}", "parent": parent, "uri": uri}
        owner = Owner.here().plain
        journal.append("start", **fields, experiment="x", owner=owner, params=params, tags={})
        if end:
            journal.conclude("end", status="FINISHED", rule="done", reason="done")
        if sent:
            self.complete(name, sent)
        return journal

    def complete(self, name, uri):
        path = self.folder / name
        size = (path / "journal.jsonl").stat().st_size
        remember(path, uri, Sent(f"m{name}", "1", 2, size, done=True))
        self.there.setdefault(uri, {}).setdefault(name, []).append("active")

    def known(self, uri):
        if uri in self.unreadable:
            raise UnreadableError(f"{uri} cannot be read: no route")
        runs = self.there.get(uri, {})
        return [SimpleNamespace(run=r, stage=s) for r, stages in runs.items() for s in stages]

    def process(self, uri, store):
        shop, names = self, []

        class Process:
            def follow(self, path):
                shop.followed.append((uri, path.name))
                names.append(path.name)

            def finish(self):
                runs = [name for name in names if name not in shop.refuses]
                for name in runs:
                    shop.there.setdefault(uri, {}).pop(name, None)
                    shop.complete(name, uri)
                said = {name: {"mlflow": f"m{name}", "new": True} for name in runs}
                failed = {name: shop.refuses[name] for name in names if name in shop.refuses}
                return Tracked(said, failed)

        return Process()


@pytest.fixture
def shop(tmp_path, monkeypatch):
    made = Shop(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nnlab.commands.sync.known", made.known)
    monkeypatch.setattr("nnlab.commands.sync.TrackingProcess", made.process)
    return made


def test_what_is_missing_is_sent_and_a_second_time_nothing(shop, capsys):
    shop.run("aa")
    shop.run("bb", sent=OWN)
    assert sync([]) == 0
    assert shop.followed == [(OWN, "aa")]
    assert capsys.readouterr().out == "sent 1 run to MLflow; 1 was there already\n"
    assert sync([]) == 0
    assert shop.followed == [(OWN, "aa")]
    assert capsys.readouterr().out == "sent 0 runs to MLflow; 2 were there already\n"


def test_no_runs_are_nothing_to_send(shop, capsys):
    assert sync([]) == 0
    assert capsys.readouterr().out == "sent 0 runs to MLflow; 0 were there already\n"


def test_runs_go_where_their_config_said(shop):
    shop.run("aa")
    shop.run("bb", uri=SERVER)
    shop.run("cc", uri="sqlite:///elsewhere/mlflow.db")
    shop.run("dd", kind="study")
    assert sync([]) == 0
    assert set(shop.followed) == {
        (OWN, "aa"),
        (SERVER, "bb"),
        ("sqlite:///elsewhere/mlflow.db", "cc"),
        (OWN, "dd"),
    }


def test_or_all_to_the_place_that_is_named_untracked_ones_too(shop):
    shop.run("aa", sent=OWN)
    shop.run("bb", uri=None)
    assert sync(["--uri", "http://new:1"]) == 0
    assert shop.followed == [("http://new:1", "aa"), ("http://new:1", "bb")]


def test_a_store_that_was_moved_has_its_own_database(shop, tmp_path):
    shop.run("aa")
    shop.run("bb", sent="sqlite:///mlruns/mlflow.db")
    shutil.move("mlruns", "moved")
    shop.there["sqlite:///moved/mlflow.db"] = {"bb": ["active"]}
    shop.folder = tmp_path / "moved" / "runs"
    assert sync(["--store", "moved"]) == 0
    assert shop.followed == [("sqlite:///moved/mlflow.db", "aa")]


def test_untracked_runs_are_sent_nowhere_unless_told(shop, capsys):
    shop.run("aa", uri=None)
    assert sync([]) == 0
    assert shop.followed == []
    with pytest.raises(UserError, match="run aa is not tracked; --uri says where to send it"):
        sync(["aa"])


def test_runs_are_named_by_a_beginning_of_their_ids(shop):
    shop.run("aa11")
    shop.run("bb11")
    assert sync(["bb"]) == 0
    assert shop.followed == [(OWN, "bb11")]
    with pytest.raises(UserError, match="there is no run cc in mlruns/runs"):
        sync(["cc"])


def test_what_a_run_is_nested_in_comes_before_it(shop):
    shop.run("aa", parent="bb")
    shop.run("bb", parent="cc")
    shop.run("cc", kind="study")
    shop.run("dd", parent="gone")
    assert sync([]) == 0
    assert [name for _, name in shop.followed] == ["cc", "bb", "aa", "dd"]


def test_what_a_run_is_nested_in_is_sent_with_it(shop):
    shop.run("aa", parent="bb")
    shop.run("bb", sent=OWN)
    shop.run("cc")
    assert sync(["aa"]) == 0
    assert [name for _, name in shop.followed] == ["aa"]
    shop.there[OWN].pop("bb")
    shop.run("ee", parent="bb")
    assert sync(["ee"]) == 0
    assert [name for _, name in shop.followed] == ["aa", "bb", "ee"]


def test_a_run_that_is_being_written_is_left_to_its_own_process(shop, capsys):
    journal = shop.run("aa", end=False)
    journal.sync()
    shop.run("bb")
    assert sync([]) == 0
    journal.close()
    assert shop.followed == [(OWN, "bb")]
    first, second = capsys.readouterr().out.splitlines()
    assert first == (
        f"the aa (run aa) is being written by {Owner.here()}, and sent by its tracking process"
    )
    assert second == "sent 1 run to MLflow; 0 were there already"


THERE = {
    "a database that has it": (["active"], False),
    "another database": ([], True),
    "it was deleted there on purpose": (["deleted"], False),
    "a twin that was removed": (["active", "deleted"], False),
    "a twin that came late": (["active", "active"], True),
}


@pytest.mark.parametrize(("stages", "again"), THERE.values(), ids=THERE)
def test_what_was_sent_is_sent_again_if_mlflow_does_not_have_it(shop, stages, again):
    shop.run("aa", sent=OWN)
    shop.there[OWN]["aa"] = stages
    assert sync([]) == 0
    assert shop.followed == [(OWN, "aa")] * again


def test_what_cannot_be_sent_is_said_once_with_the_reason(shop, capsys):
    for name in ("aa", "bb", "cc"):
        shop.run(name)
    shop.refuses = dict.fromkeys(("aa", "bb"), "http://h:1 does not answer")
    assert sync([]) == 1
    assert capsys.readouterr().out == (
        "sent 1 run to MLflow; 0 were there already\n"
        "not sent: 2 runs (http://h:1 does not answer)\n"
    )


def test_where_mlflow_cannot_be_asked_what_was_remembered_counts(shop, capsys):
    shop.unreadable.add(OWN)
    shop.run("aa", sent=OWN)
    assert sync([]) == 0
    assert shop.followed == []
    assert (
        f"not checked whether all is still there: {OWN} cannot be read" in capsys.readouterr().out
    )
    shop.run("bb")
    assert sync([]) == 0
    assert shop.followed == [(OWN, "bb")]


def test_a_damaged_journal_is_said_and_keeps_no_other_from_being_sent(shop, capsys):
    shop.run("aa")
    shop.run("bb")
    journal = shop.folder / "aa" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"start", b"stort"))
    assert sync([]) == 1
    assert shop.followed == [(OWN, "bb")]
    assert f"not sent: 1 run ({journal.relative_to(shop.folder.parents[1])} is damaged at" in (
        capsys.readouterr().out
    )


def test_a_run_that_never_began_and_a_copy_are_nothing_to_send(shop):
    shop.run("aa", sent=OWN)
    shutil.copytree(shop.folder / "aa", shop.folder / "copy")
    (shop.folder / "empty").mkdir()
    (shop.folder / "empty" / "journal.jsonl").touch()
    assert sync([]) == 0
    assert shop.followed == []


def test_a_place_that_cannot_be_is_refused(shop):
    with pytest.raises(UserError, match="uri must be a database"):
        sync(["--uri", "nonsense"])


@pytest.mark.slow
def test_everything_comes_to_a_new_database_once_though_it_is_sent_twice(lab, trained, swept):
    """The database is lost, and the store is moved."""
    moved = lab.folder / "copy"
    shutil.copytree(lab.store, moved)
    for file in moved.glob("mlflow.db*"):
        file.unlink()
    runs = len(lab.runs())
    assert f"sent {runs} runs to MLflow; 0 were" in lab("sync", "--store", "copy").out
    again = lab("sync", "--store", "copy", "--uri", "sqlite:///copy/mlflow.db").out
    assert f"sent 0 runs to MLflow; {runs} were" in again
    query = (
        "SELECT tags.value, metrics.key, step, metrics.value, timestamp FROM metrics "
        "JOIN tags USING (run_uuid) WHERE tags.key = 'nnlab.run' ORDER BY 1, 2, 3"
    )
    parents = (
        "SELECT own.value, parent.value FROM tags AS own JOIN tags AS nested USING (run_uuid) "
        "JOIN tags AS parent ON parent.run_uuid = nested.value AND parent.key = 'nnlab.run' "
        "WHERE own.key = 'nnlab.run' AND nested.key = 'mlflow.parentRunId' ORDER BY 1"
    )
    other = type(lab)(lab.folder)
    other.database = moved / "mlflow.db"
    states = (
        "SELECT tags.value, name, status, start_time, end_time FROM runs "
        "JOIN tags USING (run_uuid) WHERE tags.key = 'nnlab.run' ORDER BY 1"
    )
    here = lab.runs()  # another test may have sent a run from elsewhere
    for said in (query, parents, states):
        assert other.rows(said) == [row for row in lab.rows(said) if row[0] in here]
    assert len(other.rows(parents)) >= 6
    shutil.rmtree(moved)


@pytest.mark.slow
def test_help_and_bad_input(bench):
    assert bench("sync", "--help").out.startswith("usage: nnlab sync ")
    assert re.match(r"nnlab: there is no run zz in mlruns/runs", bench("sync", "zz", code=2).err)
