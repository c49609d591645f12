"""`nnlab sweep [NAME] [SETTINGS] [OVERRIDES]`: search for the best hyperparameters.

Imports no NumPy: the config says by which of its kernels it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from nnlab.commands.options import store_option
from nnlab.errors import UserError
from nnlab.names import nearest
from nnlab.runs.journal import read
from nnlab.runs.past import JOURNAL
from nnlab.runs.runtime import pin, pin_config

if TYPE_CHECKING:
    from nnlab.commands.tracked import Trackers
    from nnlab.runs.config import RunConfig
    from nnlab.runs.environment import Environment
    from nnlab.runs.run import Run
    from nnlab.sweeps.candidates import Candidates
    from nnlab.sweeps.definition import Definition
    from nnlab.sweeps.studies import Beginning, Study
    from nnlab.sweeps.sweep import Sweep

DEFAULT = "digits"
OPTIONS = ("--fresh", "--fork", "--dry-run")

USAGE = """usage: nnlab sweep [NAME] [SETTING=VALUE ...] [OVERRIDE ...] [OPTION]

Searches for the best hyperparameters. NAME is a file in sweeps/ (default: digits). The same command
goes on with a sweep that was interrupted; a larger budget goes on with one that is finished.

settings of the sweep   trials=40 time="10 minutes" epochs=2000 workers=2
                        sampler=tpe|random|grid|qmc|cmaes|nsga2
                        pruner=median|halving|hyperband|patient|threshold|wilcoxon|none
                        metric=validation/loss direction=minimize|maximize sweep.seed=0
                        engine=vectorized trials_per_worker=16
                        deterministic=true lag=4 retries=1 timeout=60
                        max_failures=3 fail_fast=true register=NAME
parameters              optimizer.lr='tag(log, interval(1e-4, 1))' model.hidden='choice([32],[64])'
overrides               of the experiment, as for `nnlab train`: data=iris model.hidden=[32]

options:
  --fresh    begin a new study, also where one could be gone on with
  --fork     begin a new study that knows the results of the last one of that name
  --dry-run  show the space, the first suggestions and an estimate of the cost; keep nothing
  --plugin MODULE
             with components of your own, for this command and its trials; it may be given again

sweeps: {sweeps}
"""


def run(arguments: Sequence[str]) -> int:
    """Run a sweep; exit code 1 if no trial was completed or failures ended it."""
    pin(1)  # before NumPy is loaded; a sweep's trials are its parallelism
    from nnlab.sweeps.reading import available, define

    if {"-h", "--help"} & set(arguments):
        print(USAGE.format(sweeps=", ".join(available())), end="")
        return 0
    options = [argument for argument in arguments if argument.startswith("--")]
    for option in options:
        if option not in OPTIONS:
            raise UserError(
                f"nnlab sweep has no option {option}{nearest(option, OPTIONS)}; "
                "see `nnlab sweep --help`"
            )
    if len(set(options)) > 1:
        raise UserError(f"{' and '.join(dict.fromkeys(options))} exclude each other")
    rest = [argument for argument in arguments if argument not in options]
    named = bool(rest) and "=" not in rest[0]
    definition = define(rest[0] if named else DEFAULT, rest[1:] if named else rest)
    return search(definition, options[0] if options else "")


def search(definition: Definition, option: str = "") -> int:
    """Run the sweep, or go on with it, as the option says; the exit code."""
    from nnlab.commands.console import say
    from nnlab.sweeps.candidates import Candidates

    candidates = Candidates(definition)
    config = candidates.check()
    pin_config(config.plain)
    if option == "--dry-run":
        from nnlab.sweeps.dry_run import DryRun

        say(str(DryRun.of(definition, candidates)))
        return 0
    from nnlab.commands.tracked import Trackers
    from nnlab.runs.environment import capture
    from nnlab.sweeps.identity import Identity
    from nnlab.sweeps.studies import Study, choose, choosing

    if definition.register:
        _check_registrable(config)
    identity, environment = Identity.of(definition, config), capture()
    with Trackers() as trackers:
        with choosing(config.store):
            begun = choose(definition, identity, config, environment, option)
        if isinstance(begun, Study):
            best = begun.ledger.best
            code = _shown(begun, config)
            return _with_best_registered(code, best.run if best else None, definition, config)
        trackers.follow(begun.run.path, config)
        if begun.instead_of:
            trackers.follow(begun.instead_of, config)
        code = _driven(definition, candidates, config, environment, begun, trackers)
    _say_where_the_report_is(begun.run, config)
    return _with_best_registered(code, trackers.best, definition, config)


def _driven(
    definition: Definition,
    candidates: Candidates,
    config: RunConfig,
    environment: Environment,
    begun: Beginning,
    trackers: Trackers,
) -> int:
    from nnlab.commands.board import Board
    from nnlab.commands.console import say
    from nnlab.sweeps.sweep import Sweep
    from nnlab.sweeps.vectorized import engine_of

    sweep: Sweep | None = None
    try:
        with begun.run as study, closing(engine_of(definition)) as engine:
            _say_what_differs(study, environment)
            sweep = Sweep(definition, candidates, engine, study)
            board = Board(sweep, begun.said)
            _follow(trackers, sweep, config, unsent=True)
            for trial in board.shown(sweep.run(environment)):
                for run in trial.runs:
                    trackers.follow(config.store / "runs" / run, config)
            board.conclude()
    except KeyboardInterrupt:
        ledger = sweep.ledger if sweep else None
        done = f"{ledger.ended} of {definition.trials} trials are done" if ledger else "begun"
        say(f"to go on: the same command again ({done}; study {begun.run.id})")
        raise
    finally:
        if sweep:
            sweep.settle()
            _follow(trackers, sweep, config)
            best = sweep.ledger.best
            trackers.best = best.run if best else None
    assert sweep.end is not None
    return 0 if sweep.ledger.best and not sweep.end.failed else 1


def _check_registrable(config: RunConfig) -> None:
    """Raise `UserError` where a sweep's best trial could not be registered: before the first."""
    from nnlab.runs.config import members

    if config.tracking.uri is None:
        raise UserError("register needs MLflow's registry, but got tracking=none")
    if (trainings := len(members(config))) > 1:
        raise UserError(
            f"a trial of {trainings} trainings (seeds, folds) is {trainings} models: leave "
            "register out, and register one of its runs with `nnlab register RUN NAME`"
        )


def _with_best_registered(
    code: int, best: str | None, definition: Definition, config: RunConfig
) -> int:
    """Register the best trial, where that is wanted and all went well; the exit code."""
    from nnlab.commands.console import say
    from nnlab.commands.register import register

    name = definition.register
    if not name or code or best is None:
        if name:
            say("no model is registered: the sweep has not come to a good end", "yellow")
        return code
    try:
        register(config.store / "runs" / best, name, config.tracking.uri)
    except UserError as error:
        say(f"no model is registered: {error}", "red")
        say(f"to register it later: nnlab register {best} {name}{store_option(config.store)}")
        return 1
    return 0


def _follow(trackers: Trackers, sweep: Sweep, config: RunConfig, *, unsent: bool = False) -> None:
    """Show the trials' runs; or those from before that MLflow has not completely."""
    from nnlab.tracking.sent import complete

    uri = config.tracking.uri
    for trial in sweep.ledger.trials if uri else ():
        for run in trial.runs:
            path = config.store / "runs" / run
            if not unsent or not complete(path, str(uri)):
                trackers.follow(path, config)


def _say_where_the_report_is(study: Run, config: RunConfig) -> None:
    """The tracking process has written it; where there is none, it is written now."""
    from nnlab.commands.console import say
    from nnlab.tracking.report import REPORT, study_report

    if config.tracking.uri is None:
        study_report(study.path, read(study.path / JOURNAL), None)
    if (study.path / REPORT).exists():
        say(f"report:    {study.path / REPORT}")


def _say_what_differs(study: Run, environment: Environment) -> None:
    """What has changed since the study was begun."""
    from nnlab.commands.console import say
    from nnlab.reproduction.environment import environment_differences
    from nnlab.runs.environment import recorded

    if study.journal.past:
        for difference in environment_differences(recorded(study.path), environment.facts):
            say(f"the environment differs (then -> now): {difference}", "yellow")


def _shown(study: Study, config: RunConfig) -> int:
    """A finished sweep's result, again."""
    from nnlab.commands.board import conclude
    from nnlab.commands.console import say

    ledger = study.ledger
    say(f"study {study.id} is finished: {study.why.reason}", "bold")
    conclude(ledger)
    if ledger.best:
        say(f"reproduce: nnlab reproduce {ledger.best.run}{store_option(config.store)}")
    say("a larger budget goes on with it (trials=...), --fresh begins a new one")
    return 0 if ledger.best and not study.why.failed else 1
