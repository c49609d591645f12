import re

import pytest

import nnlab
from nnlab.commands import COMMANDS

HEAVY = ("numpy", "hydra", "mlflow", "optuna", "matplotlib", "sklearn")


def imported(done):
    """The packages that Python says it imported."""
    return set(re.findall(r"\| +(\w+)", done.err))


@pytest.mark.parametrize("argument", ["--help", "-h", "help"])
def test_help_lists_every_command(bench, argument):
    done = bench(argument)
    for name, what in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)}$", done.out, re.MULTILINE)
    assert done.err == ""


def test_no_command_at_all_is_bad_input_with_the_usage(bench):
    assert bench(code=2).out == bench("--help").out


def test_version(bench):
    assert bench("--version").out == f"nnlab {nnlab.__version__}\n"


@pytest.mark.parametrize(
    ("name", "near"), [("trian", " (did you mean train?)"), ("fly", ""), ("--fly", "")]
)
def test_an_unknown_command_lists_the_known_ones_and_the_nearest(bench, name, near):
    done = bench(name, code=2)
    assert done.err == (
        f"nnlab: nnlab has no command {name}{near}; the commands are {', '.join(COMMANDS)}\n"
    )
    assert done.out == ""


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "completion"])
def test_every_command_has_help(bench, command):
    done = bench(command, "--help")
    assert f"nnlab {command}" in done.out
    assert (done.err, bench.runs()) == ("", set())


def test_help_imports_nothing_heavy(bench):
    assert not imported(bench("--help", PYTHONPROFILEIMPORTTIME="1")) & set(HEAVY)


def test_a_training_process_imports_neither_mlflow_nor_optuna_nor_matplotlib(bench):
    done = bench(
        "train",
        "data=iris",
        "tracking=none",
        "stopping.max_epochs.epochs=1",
        PYTHONPROFILEIMPORTTIME="1",
    )
    assert {"numpy", "hydra"} <= imported(done)
    assert not imported(done) & {"mlflow", "optuna", "matplotlib"}


def test_the_ui_needs_a_database(bench):
    done = bench("ui", code=2)
    assert done.err.startswith("nnlab: there is nothing to browse: mlruns/mlflow.db does not exist")


@pytest.mark.parametrize("port", ["0", "65536", "abc"])
def test_the_ui_needs_a_port(bench, port):
    bench.store.mkdir()
    bench.database.touch()
    done = bench("ui", "--port", port, code=2)
    assert "port" in done.err and port in done.err
    assert done.err.count("\n") == 1


def test_completion_knows_the_commands_and_the_groups(bench):
    assert "complete" in bench("completion", "bash").out
    assert bench("-sc", "query=bash", COMP_LINE="nnlab tr", COMP_POINT="8").out.split() == ["train"]
    done = bench("-sc", "query=bash", COMP_LINE="nnlab train optimizer=r", COMP_POINT="23")
    assert done.out.split() == [
        f"optimizer={name}" for name in ("random_local_search", "random_search", "rmsprop")
    ]


def test_completion_without_a_shell_says_how(bench):
    assert "nnlab completion bash|zsh|fish" in bench("completion", code=2).err
