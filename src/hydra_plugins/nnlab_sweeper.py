"""Hydra's own door to nnlab's sweeps: `nnlab train -m hydra/sweeper=nnlab KEY=interval(...)`.

Hydra imports this file whenever it is used, so it imports nothing of nnlab before a sweep. The
package has no `__init__.py`: every plugin of Hydra has a part of it.
"""

from collections.abc import Mapping
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

_SETTINGS = {
    "name": None,
    "metric": "validation/loss",
    "direction": None,
    "sampler": None,
    "pruner": None,
    "constraints": None,
    "seed": 0,
    "trials": 40,
    "time": "never",
    "epochs": 0,
    "workers": 0,
    "engine": "local",
    "trials_per_worker": None,
    "deterministic": False,
    "lag": 0,
    "retries": 0,
    "timeout": 0,
    "max_failures": 0,
    "fail_fast": False,
    "register": "",
    "params": None,
}
"""What `hydra.sweeper.trials=20` and the like change, as in a sweep's file; None says nothing.
`params` maps keys to what is searched, in the grammar of the command line."""


class NnlabSweeper(Sweeper):
    """Searches with the engine and the driver of `nnlab sweep`; Optuna is imported when it does."""

    def __init__(self, **settings: Any) -> None:
        self.settings: Mapping[str, Any] = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Nothing: trials are run by nnlab's engine, not by Hydra's launcher."""

    def sweep(self, arguments: list[str]) -> None:
        """Search what the arguments give; ends the program as `nnlab sweep` would."""
        from nnlab.runs.runtime import pin

        pin(1)  # before NumPy is loaded
        from nnlab.commands.sweep import search
        from nnlab.sweeps.reading import define_unnamed

        settings = dict(self.settings)
        name, params = settings.pop("name"), settings.pop("params") or {}
        given = [*(f"{key}={value}" for key, value in params.items()), *arguments]
        instance = GlobalHydra.instance()
        ours, instance.hydra = instance.hydra, None  # its place is taken by those that compose
        try:
            code = search(define_unnamed(name, settings, given))
        finally:
            instance.hydra = ours
        if code:
            raise SystemExit(code)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="nnlab",
    node={"_target_": f"{__name__}.{NnlabSweeper.__name__}", **_SETTINGS},
    provider="nnlab",
)
