"""The doors: what each command of `nnlab` does and what it says."""

COMMANDS = {
    "train": "train one experiment",
    "check": "check an experiment before money is spent on it",
    "sweep": "search for the best hyperparameters",
    "data": "list, fetch and describe data sets",
    "report": "write the report of a sweep anew",
    "reproduce": "train a run again from its logged config and compare bit for bit",
    "register": "make a run's model a version of a model in MLflow's registry",
    "compare": "compare runs: config, metrics, hashes, environment, curves",
    "info": "what a run is, what it was trained on, how far it came",
    "sync": "send to MLflow what is missing there",
    "doctor": "find what disk and MLflow have wrong about runs, and mend it",
    "gc": "list and remove run directories",
    "ui": "browse the runs in MLflow's interface",
    "completion": "print the shell code for tab completion",
}
"""Each is a module here with a function `run(arguments) -> exit code`."""

PLUGGABLE = ("train", "check", "sweep", "data", "reproduce")
"""Those that take components of the user's own: `--plugin MODULE`."""

FAILED = {"reproduce": 70}
"""Exit codes of unexpected errors, where 1 is a verdict; sysexits.h calls 70 EX_SOFTWARE."""
