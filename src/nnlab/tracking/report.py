"""The report of a study, from its directory: pictures and a table with links to its trials."""

from pathlib import Path

from nnlab.errors import UserError
from nnlab.plots.study import Study
from nnlab.runs.journal import Record
from nnlab.runs.past import CONFIG
from nnlab.runs.plain import load
from nnlab.tracking.sent import sent, sqlite_file

REPORT = "report.html"
_HERE = "http://127.0.0.1:5000"
"""Where `nnlab ui` shows a database of one's own."""


def study_of(path: Path, records: list[Record]) -> Study:
    """The study in that directory, as its records tell it; raises `UserError` if it is none."""
    sweep = load(path / CONFIG).get("sweep")
    if not isinstance(sweep, dict):
        raise UserError(f"{path} is no study; a report is of a study")
    return Study.of(sweep, records)


def study_report(path: Path, records: list[Record], uri: str | None) -> Path:
    """Write the report into the directory of the study that the records are of; `uri` is the
    tracker that its trials are shown by."""
    from nnlab.plots.report import write

    study = study_of(path, records)
    links = {trial.run: link for trial in study.trials if (link := _link(path, trial.run, uri))}
    best = study.best[0].run if study.best else ""
    where = "" if uri is None or sqlite_file(uri) else f" --uri {uri}"
    store = path.parents[1]
    shown = uri is not None and best  # it is reproduced from what a tracker knows
    command = f"nnlab reproduce {best} --store {store}{where}" if shown else ""
    write(study, path / REPORT, links, command)
    return path / REPORT


def _link(path: Path, run: str, uri: str | None) -> str:
    """Where MLflow shows that run; nothing where it does not."""
    state = sent(path.with_name(run), uri) if run and uri else None
    if uri is None or state is None or not state.run:
        return ""
    server = _HERE if sqlite_file(uri) else uri.rstrip("/")
    return f"{server}/#/experiments/{state.experiment}/runs/{state.run}"
