"""The registry and the files in `conf/` name the same things and give them the same values."""

from dataclasses import MISSING, fields

import pytest
import yaml

from nnlab.runs.compose import compose, packaged
from nnlab.runs.config import LISTS, members, parse, prepare
from nnlab.runs.execution import Execution
from nnlab.runs.registry import GROUPS
from nnlab.training.experiment import Experiment

CONF = packaged("conf")
CHOICES = [(group, choice) for group, choices in GROUPS.items() for choice in choices]
EXPERIMENTS = sorted(file.stem for file in CONF.glob("experiment/*.yaml"))
NEEDS = {
    **{("data", name): ["loss=mse"] for name in ("diabetes", "line", "parabola", "formula")},
    ("data", "table"): ["data.path=flowers.csv", "data.target=species"],
    ("data", "images"): ["data.path=flowers"],
    ("optimizer", "lbfgs"): ["batch_size=1000000000"],
    ("weighting", "by_class"): ["data=breast_cancer"],
    ("gradient", "numerical"): ["dtype=float64"],
}
"""What else must be chosen with a choice."""
DIFFERENT = {
    # of the rest of the config
    ("tracking", "mlflow", "uri"): "sqlite:///${store}/mlflow.db",
    ("tracking", "mlflow", "experiment"): "${data.name}",
    ("tracking", "none", "experiment"): "${data.name}",
}
"""Values in conf/ that are not the class's default."""
FROM_FILES = {
    *(name for name, source in GROUPS["data"].items() if getattr(source, "published", None)),
    *("table", "images"),
}
"""Data that do not come with nnlab."""
WITH_FILES = {
    *(("data", name) for name in FROM_FILES),
    *(("features", name) for name in GROUPS["features"]),
    ("validation", "given"),
}
"""Choices that need such data; tests/data and tests/commands have them."""
every_choice = pytest.mark.parametrize(("group", "choice"), CHOICES)


def in_file(group, choice):
    """The arguments that a file of conf/ gives."""
    content = yaml.safe_load((CONF / group / f"{choice}.yaml").read_text(encoding="utf-8"))
    if group in LISTS:
        assert list(content) == [choice]
        return content[choice]
    assert content.pop("name") == choice
    return content


def test_every_registered_name_has_a_file_and_every_file_a_registered_name():
    found = {(file.parent.name, file.stem) for file in CONF.glob("*/*.yaml")}
    assert {row for row in found if row[0] != "experiment"} == set(CHOICES)


@every_choice
def test_a_file_says_every_argument_and_its_default(group, choice):
    arguments = in_file(group, choice)
    defaults = {field.name: field.default for field in fields(GROUPS[group][choice])}
    assert MISSING not in defaults.values()
    assert arguments.keys() == defaults.keys()
    for key, value in arguments.items():
        expected = DIFFERENT.get((group, choice, key), defaults[key])
        assert (tuple(value) if isinstance(value, list) else value) == expected
    assert all(key in in_file(*row) for *row, key in DIFFERENT)


def test_the_defaults_of_the_experiment_are_those_of_its_class():
    content = yaml.safe_load((CONF / "train.yaml").read_text(encoding="utf-8"))
    defaults = [item for item in content["defaults"] if item != "_self_"]
    chosen = {group: name for item in defaults for group, name in item.items()}
    for field in fields(Experiment):
        if field.name in GROUPS and field.name not in LISTS and field.default is not MISSING:
            assert type(field.default) is GROUPS[field.name][chosen[field.name]]
        elif field.name in LISTS and field.default is not MISSING:
            assert chosen[field.name] == []
            assert (content[field.name], field.default) == ({}, ())
        elif field.default is not MISSING:
            assert content[field.name] == field.default


@every_choice
def test_a_choice_composes_and_builds(group, choice):
    chosen = f"{group}=[{choice}]" if group in LISTS else f"{group}={choice}"
    config = compose([chosen, *NEEDS.get((group, choice), [])])
    run = parse(config)
    if group in LISTS:
        several = getattr(run.experiment, group)
        assert [type(one) for one in several] == [GROUPS[group][choice]]
    else:
        part = getattr(run, group) if hasattr(run, group) else getattr(run.experiment, group)
        assert type(part) is GROUPS[group][choice]
    if (group, choice) in WITH_FILES:
        return
    training = prepare(members(run)[0])
    assert training.start().theta.size == training.network.layout.size > 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_builds(name):
    run = parse(compose([f"+experiment={name}"]))
    if run.plain["data"]["name"] not in FROM_FILES:
        Execution(run)
    first, second = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()[:2]
    assert first == "# @package _global_"
    assert second.startswith(f"# nnlab train +experiment={name}:")


def test_the_page_on_the_mathematics_names_every_choice():
    page = (CONF.parent / "docs" / "mathematics.md").read_text(encoding="utf-8")
    for group in GROUPS.keys() - {"data", *LISTS, "tracking", "runtime"}:
        assert f"`{group}" in page
        for choice in GROUPS[group].keys() - {"none", "analytic", "fold", "given"}:
            assert f"`{choice}`" in page or f"{group}={choice}" in page or f"or `{choice}`" in page


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        GROUPS["model"] = {}
