"""The ending process: says in MLflow how runs ended that no journal can say it of.

    python -m nnlab.tracking.ending URI

Lines of JSON come on standard input: `mlflow`, a run's id there, `status`, `time` (milliseconds, or
null for now) and `tags`. A run that is not RUNNING there any more is left as it is.
"""

import json
import sys
from pathlib import Path

from nnlab.errors import first_line
from nnlab.tracking.store import Store


def main() -> None:
    """The process; an error is one line and exit code 1."""
    try:
        client = Store(sys.argv[1], Path()).client
        for line in sys.stdin:
            ended = json.loads(line)
            if client.get_run(ended["mlflow"]).info.status == "RUNNING":
                for key, value in ended["tags"].items():
                    client.set_tag(ended["mlflow"], key, value)
                client.set_terminated(ended["mlflow"], ended["status"], ended["time"])
    except Exception as error:  # whatever MLflow, its database or its server raises
        print(first_line(error), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
