"""`nnlab report STUDY`: write a study's report anew."""

from collections.abc import Sequence
from pathlib import Path

from nnlab.commands.options import check_uri, parser
from nnlab.errors import UserError
from nnlab.runs.journal import JournalError, JournalReader
from nnlab.runs.past import JOURNAL, find


def run(arguments: Sequence[str]) -> int:
    """Print where the report is."""
    made = parser("report", "Write the report of a study anew: one HTML file, readable offline.")
    made.add_argument("study", metavar="STUDY", help="the id of a study, or its beginning")
    made.add_argument("--optuna", metavar="FILE", help="write it as a journal of Optuna's as well")
    options = made.parse_args(arguments)
    if options.uri:
        check_uri(options.uri)
    path = find(Path(options.store), options.study)
    from nnlab.tracking.report import study_of, study_report
    from nnlab.tracking.sent import destination

    try:
        records = JournalReader(path / JOURNAL).poll()
    except JournalError as error:
        raise UserError(str(error)) from error
    uri = options.uri or destination(records[0], Path(options.store))
    print(study_report(path, records, uri))
    if options.optuna:
        from nnlab.sweeps.export import export

        export(study_of(path, records), Path(options.optuna))
        print(f"{options.optuna}: `optuna-dashboard {options.optuna}` shows it")
    return 0
