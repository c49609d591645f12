"""All figures of speed beside those that are wanted, as `benchmarks/results/` keeps them.

    python -m benchmarks

`make bench` measures them anew and then prints this.
"""

import json
from pathlib import Path

from benchmarks.figure import read, show

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """A table for each benchmark."""
    for path in sorted(RESULTS.glob("*.json")):
        machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
        about = f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}"
        print(f"\n{path.stem}: {about}, NumPy {machine['versions']['numpy']}")
        show(read(path))


if __name__ == "__main__":
    main()
