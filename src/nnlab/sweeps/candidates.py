"""Candidates: the experiments that a sweep may try, its space applied to the composed config."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from nnlab.core.laws import LawError, one_of
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.compose import compose
from nnlab.runs.config import RunConfig, parse, prepare
from nnlab.runs.execution import Execution
from nnlab.runs.plain import Config, flatten
from nnlab.runs.registry import GROUPS
from nnlab.sweeps.constraints import PARAMETERS, QUANTITIES, broken
from nnlab.sweeps.definition import Definition
from nnlab.sweeps.places import Place
from nnlab.sweeps.pruners import Wilcoxon
from nnlab.sweeps.space import Choices, holds

_SHAPING = ("data", "validation", "features", "preparation", "augmentation", "loss", "seed")
"""The keys of a config that decide how many inputs and outputs a network has."""


class Candidates:
    """The configs of a sweep's trials.

    The config is composed once for each combination of group choices.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._composed: dict[tuple[str, ...], Config] = {}
        self._experiment: str | None = None
        self._shapes: dict[str, tuple[int, int]] = {}
        self._before = tuple(one for one in definition.constraints if one.before)

    def config(self, values: Mapping[str, Any]) -> Config:
        """The config of a trial with these values."""
        groups = tuple(f"{key}={_element(value)}" for key, value in values.items() if key in GROUPS)
        if groups not in self._composed:
            self._composed[groups] = compose([*self.definition.overrides, *groups])
        changes = {key: value for key, value in values.items() if key not in GROUPS}
        if self._experiment is not None:  # trials are shown where their study is
            changes["tracking.experiment"] = self._experiment
        return with_values(self._composed[groups], changes)

    def parameters(self, values: Mapping[str, Any]) -> int:
        """The numbers that a trial with these values trains."""
        config = parse(self.config(values))
        shape = json.dumps({key: config.plain[key] for key in _SHAPING}, default=str)
        if shape not in self._shapes:
            training = prepare(config)
            x, y = training.splits.train.x, training.splits.train.y
            classes = len(training.splits.classes)
            outputs = training.loss.outputs(classes) if classes else y.shape[1]
            self._shapes[shape] = x.shape[1], outputs
        return config.experiment.model.build(*self._shapes[shape]).layout.size

    def allowed(self, values: Mapping[str, Any]) -> bool:
        """Do these values keep to the constraints that are known before a trial?"""
        if not self._before:
            return True
        return not broken(self._before, {PARAMETERS: self.parameters(values)})

    def check(self) -> RunConfig:
        """Build an experiment at the ends of every parameter; the first one is returned.

        Raises `UserError` for whatever a trial would fail on, with the place where it is written.
        """
        space = self.definition.space
        first = self._with({})
        checked = self._built(first)
        for key, parameter in space.items():
            forced = self._reaching(key)
            for value in parameter.ends():
                values = self._with({**forced, key: value})
                if values == first:
                    continue
                try:
                    if isinstance(parameter, Choices):
                        self._checked(values)
                    else:
                        parse(self.config(values))
                except UserError as error:
                    raise self._placed(error, key, value, values) from error
        self._experiment = checked.tracking.experiment
        return checked

    def _built(self, first: Mapping[str, Any]) -> RunConfig:
        """The experiment at the first ends."""
        try:
            return self._checked(first)
        except UserError as error:
            if isinstance(error, UnknownKeyError):
                raise self._unknown(error, first) from error
            others = {key: {k: v for k, v in first.items() if k != key} for key in first}
            key = next((key for key in first if self._fits(others[key])), None)
            if key is None:  # it is the experiment's own, or that of several together
                raise
            raise self._placed(error, key, first[key], first) from error

    def _fits(self, values: Mapping[str, Any]) -> bool:
        try:
            self._checked(values)
        except UserError:
            return False
        return True

    def _checked(self, values: Mapping[str, Any]) -> RunConfig:
        """The experiment with these values, whose parts fit and whose reports have the metrics."""
        checked = parse(self.config(values))
        execution = Execution(checked)
        known = (*execution.metric_names, *QUANTITIES)
        definition = self.definition
        for metric in definition.metrics:
            try:
                one_of(known, metric=metric)
            except LawError as error:
                raise definition.places.refuse(f"{error} (of the sweep)", "metric") from error
        for one in definition.constraints:
            try:
                one_of(known, constraints=one.quantity)
            except LawError as error:
                raise definition.places.refuse(str(error), "constraints", one.quantity) from error
        self._check_pairs(len(execution.members))
        return checked

    def _check_pairs(self, members: int) -> None:
        """Raise `UserError` if the signed-rank test has too few pairs to ever stop a trial."""
        pruner = self.definition.pruner
        if isinstance(pruner, Wilcoxon) and members < pruner.pairs:
            raise self.definition.places.refuse(
                f"the wilcoxon pruner needs {pruner.pairs} seeds and folds to reach "
                f"p < {pruner.p:g}, but the experiment has {members}: add seeds={pruner.pairs} or "
                "validation=kfold to it",
                "pruner",
            )

    def _with(self, forced: Mapping[str, Any]) -> dict[str, Any]:
        """A point of the space with these values, every other parameter at its first end."""
        values: dict[str, Any] = {}
        for key, parameter in self.definition.space.items():
            if holds(parameter, values):
                values[key] = forced.get(key, parameter.ends()[0])
        return values

    def _reaching(self, key: str) -> dict[str, Any]:
        """The choices under which a parameter exists."""
        forced: dict[str, Any] = {}
        for other, several in self.definition.space[key].when.items():
            parameter = self.definition.space[other]
            value = next(value for value in several if parameter.has(value))
            forced |= {**self._reaching(other), other: value}
        return forced

    def _placed(
        self, error: UserError, key: str, value: Any, values: Mapping[str, Any]
    ) -> UserError:
        """The error with the place of the parameter it is about, and a cure where one is known."""
        message, places = str(error), self.definition.places
        if isinstance(error, UnknownKeyError):
            return self._unknown(error, values)
        if message.endswith(")") and places.file and f"({places.file}, line" in message:
            return error
        parameter = self.definition.space[key]
        if isinstance(parameter, Choices):
            index = str(parameter.values.index(value))
            below: list[Place] = [("choice", index), ("choices", index), (index,)]
        else:
            below = [("low" if value == parameter.low else "high",)]
        paths = [("parameters", key, *one) for one in below]
        return places.refuse(message, *next((p for p in paths if p in places.lines), paths[0]))

    def _unknown(self, error: "UnknownKeyError", values: Mapping[str, Any]) -> UserError:
        """A key that the config does not have; perhaps it has it under another choice."""
        message, group = str(error), error.key.split(".")[0]
        other = self.definition.space.get(group)
        if isinstance(other, Choices) and group in values:
            have = [one for one in other.values if self._has(error.key, {**values, group: one})]
            if have:
                wanted = have[0] if len(have) == 1 else f"[{', '.join(map(str, have))}]"
                message = (
                    f"parameters.{error.key} is not there with {group}={values[group]}; give it "
                    f"`when: {{{group}: {wanted}}}`"
                )
        return self.definition.places.refuse(message, "parameters", error.key)

    def _has(self, key: str, values: Mapping[str, Any]) -> bool:
        """Does the config of these values have the key?"""
        groups = {group: value for group, value in values.items() if group in GROUPS}
        try:
            with_values(self.config(groups), {key: 0})
        except UserError:
            return False
        return True


class UnknownKeyError(UserError):
    """A parameter that the config does not have."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """A copy of the config with these values; raises `UnknownKeyError` where it has no such key."""
    changed: Any = deepcopy(dict(config))
    for key, value in values.items():
        *path, last = key.split(".")
        node = changed
        for name in path:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            known = [name for name, _ in flatten(config)]
            raise UnknownKeyError(
                f"parameters.{key} is not a key of the config{nearest(key, known)}; "
                "`nnlab train --cfg job` shows the keys",
                key,
            )
        node[last] = value
    return dict(changed)


def _element(value: Any) -> str:
    """A value in Hydra's grammar: the names of choices as they are, several in a list."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
