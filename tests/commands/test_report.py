"""`nnlab report STUDY`, and the report that a sweep leaves."""

import re

import pytest

SWEEP = ("sweep", "data=iris", "trials=3", "workers=1", "stopping.max_epochs.epochs=2")


def study(bench):
    """The directory of the one study."""
    (path,) = bench.store.glob("runs/*/report.html")
    return path.parent


def test_a_sweep_without_mlflow_has_a_report_too(bench):
    done = bench(*SWEEP, "tracking=none")
    where = re.search(r"^report: +(\S+)$", done.out, re.MULTILINE)[1]
    assert (bench.folder / where).read_text(encoding="utf-8").count("<tr class=") == 3


def test_a_report_is_written_anew(bench):
    bench(*SWEEP, "tracking=none")
    path = study(bench) / "report.html"
    whole = path.read_bytes()
    path.unlink()
    done = bench("report", path.parent.name[:6])
    assert done.out.strip() == f"mlruns/runs/{path.parent.name}/report.html"
    assert path.read_bytes() == whole


def test_optuna_gets_a_file_of_its_own(bench):
    bench(*SWEEP, "tracking=none")
    done = bench("report", study(bench).name, "--optuna", "study.log")
    assert "optuna-dashboard study.log" in done.out
    assert (bench.folder / "study.log").stat().st_size
    again = bench("report", study(bench).name, "--optuna", "study.log", code=2)
    assert "study.log exists already" in again.err


def test_a_report_is_of_a_study(bench):
    bench(*SWEEP, "tracking=none")
    trial = next(one for one in bench.store.glob("runs/*") if one != study(bench))
    assert "is no study" in bench("report", trial.name, code=2).err
    assert "there is no run zzz" in bench("report", "zzz", code=2).err


@pytest.mark.slow
def test_the_report_in_mlflow_links_the_trials(lab):
    done = lab(*SWEEP, "store=linked")
    where = re.search(r"^report: +(\S+)$", done.out, re.MULTILINE)[1]
    page = (lab.folder / where).read_text(encoding="utf-8")
    assert (
        len(re.findall(r"http://127\.0\.0\.1:5000/#/experiments/\d+/runs/[0-9a-f]{32}", page)) == 3
    )
    assert "nnlab reproduce" in page
    (shown,) = (lab.folder / "linked" / "artifacts").rglob("report.html")
    assert shown.read_bytes() == page.encode()
