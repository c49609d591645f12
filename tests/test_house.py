"""The house: who may import whom, and what a command must not load."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nnlab

HOUSE = Path(nnlab.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
FLOORS = (
    {"names", "errors", "escaping", "garbage"},
    {"core", "data", "plots"},
    {"training"},
    {"runs"},
    {"plugins"},
    {"sweeps", "tracking", "reproduction", "serving"},
    {"commands"},
    {"cli"},
)
BESIDE = {("data", "core"), ("reproduction", "tracking"), ("tracking", "serving")}
"""The only imports between parts of one floor."""
ONLY_IN = {
    "mlflow": {
        f"tracking/{name}.py"
        for name in (
            *("artifacts", "fetch", "projection", "projector", "registration", "selection"),
            "store",
        )
    },
    "optuna": {
        f"sweeps/{name}.py" for name in ("drawing", "export", "search", "storage", "verdict")
    },
    "hydra": {"runs/compose.py", "sweeps/grammar.py"},
    "omegaconf": {"runs/compose.py", "sweeps/reading.py"},
    "scipy": {
        *("core/lbfgs.py", "training/repeats.py", "plots/figures.py"),
        *("sweeps/drawing.py", "sweeps/verdict.py"),
    },
    "plotly": {"plots/report.py"},
    "sklearn": {"data/features/visual_words.py", "data/preparation/pca.py"},
    "skimage": {"data/features/hog.py"},
    "pooch": {"data/cache.py", "data/fetch.py", "data/home.py"},
    "imblearn": {"data/preparation/smote.py"},
    "pyarrow": {
        *(f"data/stream/{name}.py" for name in ("parquet", "table")),
        *(
            f"data/tables/{name}.py"
            for name in (
                "column",
                "columnar",
                "delimited",
                "features",
                "npz",
                "numbers",
                "numpy_file",
                "survey",
            )
        ),
    },
    "PIL": {"data/sources/images.py", "plots/curves.py"},
    "pandas": set(),
}
every_file = pytest.mark.parametrize(
    "file", FILES, ids=[str(file.relative_to(HOUSE)) for file in FILES]
)


def imported(file):
    """The dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            if node.module == "nnlab":
                yield from (f"nnlab.{alias.name}" for alias in node.names)
            else:
                yield node.module


def part(file):
    """Which part of the house a file belongs to: `core`, `cli`, ..."""
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def floor(name):
    levels = [level for level, parts in enumerate(FLOORS) if name in parts]
    assert levels, f"{name} is on no floor: give it one in this test"
    return levels[0]


@every_file
def test_imports_go_down(file):
    here = part(file)
    for name in imported(file):
        package, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if package != "nnlab" or there in ("", "__version__", here):
            continue
        assert here != "__init__", f"`import nnlab` imports {name}"
        down = floor(there) < floor(here) or (here, there) in BESIDE
        assert down, f"{here} imports {name}"


@every_file
def test_a_heavy_library_is_imported_at_its_edge_alone(file):
    for name in imported(file):
        places = ONLY_IN.get(name.partition(".")[0])
        assert places is None or str(file.relative_to(HOUSE)) in places, f"it imports {name}"


@every_file
def test_core_imports_numpy_alone(file):
    if part(file) != "core":
        return
    third = {name.partition(".")[0] for name in imported(file)} - set(sys.stdlib_module_names)
    assert third - {"numpy", "nnlab"} == ({"scipy"} if file.stem == "lbfgs" else set())


@every_file
def test_nothing_is_run_or_imported_by_a_string(file):
    words = {"import_module", "__import__", "eval", "exec", "instantiate", "pickle"}
    used = {
        getattr(node, "id", None) or getattr(node, "attr", None)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.Attribute)
    }
    used |= {name.partition(".")[0] for name in imported(file)}
    by_name = {HOUSE / "cli.py", HOUSE / "plugins.py"}  # of its own table; of --plugin
    allowed = {"import_module"} if file in by_name else set()
    assert used & words <= allowed


@every_file
def test_a_public_module_says_what_it_is(file):
    if file.stem.startswith("_") and file.stem not in ("__init__", "__main__"):
        return
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


@every_file
def test_a_file_is_named_by_its_idea(file):
    assert not {"utils", "util", "helpers", "misc", "common"} & {file.stem, file.parent.stem}


SCRIPT = str(Path(sys.executable).with_name("nnlab"))
PROBE = """
import json, runpy, sys
sys.argv = sys.argv[1:]
code = None
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code
print()
print(json.dumps([code, sorted(sys.modules)]))
"""


def promised(file):
    """The libraries that a module's docstring says it does not import, by the names of import."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    said = re.search(r"Imports no (\w+)(?:, no (\w+))?", text)
    return {name.lower() for name in said.groups() if name} if said else set()


@pytest.mark.parametrize(
    "file", list(filter(promised, FILES)), ids=lambda file: str(file.relative_to(HOUSE))
)
def test_what_a_module_says_it_does_not_import_is_not_imported(file, tmp_path):
    module = ".".join(file.relative_to(HOUSE.parent).with_suffix("").parts)
    code = f"import json, sys, {module}; print(json.dumps([0, sorted(sys.modules)]))"
    modules = modules_after(["-c", code], tmp_path)
    assert module in modules
    assert not modules & promised(file)


def modules_after(command, folder):
    """The modules that a process of this command has loaded at its end."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert not code, done.stderr
    return set(modules)


def test_importing_the_package_imports_nothing_else(tmp_path):
    code = "import json, sys, nnlab; print(json.dumps([0, sorted(sys.modules)]))"
    modules = modules_after(["-c", code], tmp_path)
    assert {name for name in modules if name.startswith("nnlab")} == {"nnlab"}
    assert not modules & {"numpy", "mlflow", "optuna", "hydra", "sklearn"}


def test_help_loads_no_heavy_library(tmp_path):
    modules = modules_after(["-c", PROBE, SCRIPT, "--help"], tmp_path)
    assert "nnlab.cli" in modules
    assert not modules & {"numpy", "mlflow", "optuna", "hydra", "omegaconf", "sklearn", "rich"}


def test_a_training_process_loads_neither_mlflow_nor_optuna(tmp_path):
    command = ["train", "tracking=none", "data=iris", "stopping.max_epochs.epochs=1"]
    modules = modules_after(["-c", PROBE, SCRIPT, *command], tmp_path)
    assert {"nnlab.training.trainer", "numpy", "hydra"} <= modules
    assert not modules & {"mlflow", "optuna", "sklearn", "scipy", "matplotlib"}
    assert len(list(tmp_path.glob("mlruns/runs/*/journal.jsonl"))) == 1


def test_the_parent_of_the_tracking_process_does_not_load_mlflow(tmp_path):
    code = (
        "import json, sys, nnlab.tracking.process, nnlab.reproduction.logged;"
        "print(json.dumps([0, sorted(sys.modules)]))"
    )
    modules = modules_after(["-c", code], tmp_path)
    assert "nnlab.tracking.process" in modules
    assert not modules & {"mlflow", "optuna", "hydra"}
