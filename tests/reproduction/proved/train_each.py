"""Trains the experiments that a JSON text lists by their overrides, one after another."""

import json
import sys

from nnlab.commands.train import Trainings
from nnlab.runs.compose import compose

with Trainings() as trainings:
    for overrides in json.loads(sys.argv[1]):
        trainings.train(compose(overrides))
