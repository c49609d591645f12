"""Hostile configs: what somebody's tracker may hand out as the config of a run.

A case is a name, the key that the error must name, and the change: values by dotted keys, or a
function of the YAML text. Payloads do no harm: they touch `marker` in the working directory, start
`true`, or connect to a closed port of this machine.
"""

import pickle
from base64 import b64encode
from pathlib import Path

TOUCH = "touch marker"
HUGE = 10**12


class Touch:
    """Unpickled, it makes the marker."""

    def __reduce__(self):
        return Path.touch, (Path("marker"),)


def _target(path, *args, **keywords):
    return {"_target_": path, **({"_args_": list(args)} if args else {}), **keywords}


_PICKLE = _target("base64.b64decode", b64encode(pickle.dumps(Touch())).decode())
_PATH = _target("pathlib.Path", "marker")
_PARTIAL = {"_target_": "os.system", "_partial_": True, "command": TOUCH}
TARGETS = {  # what Hydra's `instantiate` would call
    "os.system": _target("os.system", TOUCH),
    "os.popen": _target("os.popen", TOUCH),
    "os.mkdir": _target("os.mkdir", "marker.d"),
    "os.posix_spawn": _target("os.posix_spawn", "/bin/true", ["true"], {}),
    "subprocess.Popen": _target("subprocess.Popen", ["true"]),
    "subprocess.run": _target("subprocess.run", ["true"]),
    "subprocess.check_output": _target("subprocess.check_output", ["true"]),
    "builtins.eval": _target("builtins.eval", "open('marker', 'w').close()"),
    "builtins.exec": _target("builtins.exec", "open('marker', 'w').close()"),
    "builtins.open": _target("builtins.open", "marker", "w"),
    "builtins.__import__": _target("builtins.__import__", "this"),
    "importlib.import_module": _target("importlib.import_module", "this"),
    "runpy.run_module": _target("runpy.run_module", "this"),
    "pickle.loads": _target("pickle.loads", _PICKLE),
    "numpy.load": _target("numpy.load", "evil.npy", allow_pickle=True),
    "numpy.save": _target("numpy.save", "marker.npy", 1),
    "pathlib": _target("pathlib.Path.touch", _PATH),
    "shutil.copy": _target("shutil.copy", "evil.npy", "marker"),
    "tempfile.mkstemp": _target("tempfile.mkstemp", dir="."),
    "socket": _target("socket.create_connection", ["127.0.0.1", 9]),
    "urllib": _target("urllib.request.urlopen", "http://127.0.0.1:9/"),
    "os.makedirs": _target("os.makedirs", "marker.f"),
    "logging": _target("logging.FileHandler", "marker.log"),
    "sqlite3": _target("sqlite3.connect", "marker.db"),
    "gzip": _target("gzip.open", "marker.gz", "wb"),
    "zipfile": _target("zipfile.ZipFile", "marker.zip", "w"),
    "numpy.savetxt": _target("numpy.savetxt", "marker.txt", [1]),
    "numpy.memmap": _target("numpy.memmap", "marker.map", mode="w+", shape=[1]),
    "tarfile": _target("tarfile.open", "marker.tar", "w"),
    "socketserver": _target("socket.create_server", ["127.0.0.1", 0]),
    "functools.partial": _target(
        "functools.reduce", _target("functools.partial", _PARTIAL), [1, 2]
    ),
    "nested partials": _target("builtins.list", _target("builtins.map", _PARTIAL, [TOUCH])),
    "operator.methodcaller": _target("builtins.map", _target("os.system", TOUCH), [[1]]),
    "hydra itself": _target("hydra.utils.call", _target("os.system", TOUCH)),
}
PLACES = (  # (where a target is put, the key that is named)
    ("optimizer", "optimizer.name"),
    ("model", "model.name"),
    ("payload", "payload"),
    ("optimizer.lr", "optimizer.lr"),
    ("stopping.max_epochs", "stopping.max_epochs._"),
    ("data.scale", "data.scale"),
    ("preparation._target_", "preparation"),
    ("loss.weight", "loss.weight"),
)
RESOLVERS = {
    "the environment": "${oc.env:NNLAB_SECRET}",
    "the environment, decoded": "${oc.decode:${oc.env:NNLAB_SECRET}}",
    "a made config": "${oc.create:{a:${oc.env:NNLAB_SECRET}}}",
    "another key": "${oc.select:store}${oc.env:NNLAB_SECRET}",
    "keys": "${oc.dict.values:optimizer}",
    "hydra": "${hydra:runtime.cwd}",
}
RESOLVER_KEYS = ("optimizer.lr", "seed", "dtype", "optimizer.name", "evaluate_every", "data.scale")
VALUES = {  # name: (key that is named, values by dotted keys)
    "a layer too wide": ("model.hidden", {"model.hidden": [HUGE]}),
    "two layers too wide": ("model.hidden", {"model.hidden": [10**6, 10**6]}),
    "wider than an int": ("model.hidden[0]", {"model.hidden": [10**30]}),
    "too many layers": ("model.hidden", {"model.hidden": [1] * 90_000}),
    "too many seeds": ("seeds", {"seeds": HUGE}),
    "too many folds": ("validation.folds", {"validation": {"name": "kfold", "folds": HUGE}}),
    "seeds and folds": (
        "validation.folds",
        {"seeds": 999, "validation": {"name": "kfold", "folds": 999}},
    ),
    "too much together": ("seeds", {"seeds": 999, "model.hidden": [20_000, 2000]}),
    "examples": (
        "data.examples",
        {"data": "moons", "data.examples": HUGE},
    ),
    "features": ("data.features", {"data": "blobs", "data.features": HUGE}),
    "classes": ("data.classes", {"data": "blobs", "data.examples": 10**8, "data.classes": 10**7}),
    "means": ("data.means", {"data": "gaussian_mixture", "data.means": HUGE}),
    "a power of powers": ("data.formula", {"data": "formula", "data.formula": "9**9**9**9**9"}),
    "a formula that calls": (
        "data.formula",
        {"data": "formula", "data.formula": "__import__('os').system('touch marker')"},
    ),
    "a formula too deep": ("data.formula", {"data": "formula", "data.formula": "-" * 450 + "1"}),
    "a formula too long": ("data.formula", {"data": "formula", "data.formula": "1+" * 10**5}),
    "memory of L-BFGS": (
        "optimizer.memory",
        {"optimizer": {"name": "lbfgs", "lr": 1.0, "iterations": 1, "memory": HUGE}},
    ),
    "threads": ("runtime.threads", {"runtime.threads": HUGE}),
    "components": (
        "preparation.pca",
        {"preparation": {"pca": {"components": HUGE, "whiten": False}}},
    ),
    "a subset": ("preparation.subset.n", {"preparation": {"subset": {"n": HUGE}}}),
    "padding": ("augmentation.crop", {"augmentation": {"crop": {"padding": HUGE, "edge": "zero"}}}),
    "a batch of 2^70": ("batch_size", {"batch_size": 2**70}),
    "no batch": ("batch_size", {"batch_size": 0}),
    "a duration": ("evaluate_every", {"evaluate_every": "9" * 10**5 + " steps"}),
    "checkpoints": ("checkpoint_every", {"checkpoint_every": "1e-9 steps"}),
    "nothing ends it": ("stopping", {"stopping": {}}),
    "a budget": (
        "stopping.time_budget.seconds",
        {"stopping": {"time_budget": {"seconds": float("inf")}}},
    ),
    "not a number": ("optimizer.lr", {"optimizer.lr": float("nan")}),
    "infinite": ("optimizer.momentum", {"optimizer.momentum": float("-inf")}),
    "a list for a number": ("optimizer.lr", {"optimizer.lr": [[[[1]]]]}),
    "a text for a number": ("seed", {"seed": "0; import os"}),
    "a mapping for a text": ("dtype", {"dtype": {"a": 1}}),
    "a null": ("runtime", {"runtime": None}),
    "a list for a group": ("optimizer", {"optimizer": ["sgd"]}),
    "an unknown name": ("optimizer.name", {"optimizer.name": "os.system"}),
    "a dunder": ("optimizer.name", {"optimizer.name": "__class__"}),
    "an unknown key": ("optimizer.__class__", {"optimizer.__class__": "x"}),
    "a key with dots": ("optimizer.lr is not a key", {"+optimizer.lr": 1.0}),
    "an endless key": ("is not a key", {"k" * 100_000: 1}),
    "a name with a path": ("data.name", {"data.name": "../../etc/passwd"}),
    "a store that is none": ("runtime.kernel", {"runtime.kernel": "../x"}),
    "a hook": ("callbacks", {"callbacks": [{"name": "os.system"}]}),
    "defaults of Hydra": ("defaults", {"defaults": ["/etc/passwd"]}),
    "Hydra's own": ("hydra", {"hydra": {"run": {"dir": "/tmp"}}}),
    "plugins": ("plugins", {"plugins": ["os"]}),
    "a file that is no table": ("data.path", {"data": "table", "data.path": "/etc/passwd"}),
    "up and up": ("data.path", {"data": "table", "data.path": "../" * 40 + "etc/passwd"}),
    "a device": ("data.path", {"data": "table", "data.path": "/dev/zero"}),
    "the environment's file": ("data.path", {"data": "table", "data.path": "/proc/self/environ"}),
    "NUL": ("data.path", {"data": "table", "data.path": "a\0.csv"}),
    "a URL": ("data.path", {"data": "table", "data.path": "http://127.0.0.1:9/x.csv"}),
    "a pickle as a table": ("data.path", {"data": "table", "data.path": "evil.npy"}),
    "a folder up": ("data.path", {"data": "images", "data.path": "../" * 40 + "proc"}),
    "a test path": (
        "data.test_path",
        {"data": "table", "data.path": "good.csv", "data.test_path": "/dev/stdin", "data.test": 0},
    ),
    "a window": (
        "data.path",
        {"data": "table", "data.path": "evil.npy", "data.window": 2**62},
    ),
    "escapes": ("optimizer.name", {"optimizer.name": "\x1b]0;owned\x07\x1b[2J\u202esgd"}),
    "markup": ("optimizer.name", {"optimizer.name": "[bold red]identical[/] [link=http://x]y[/]"}),
}
_LAUGHS = "".join(f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]\n" for k in range(1, 10))
TEXTS = {  # name: (what is named, the YAML that is put at the end of a good config)
    "python/object/apply": ("payload", "payload: !!python/object/apply:os.system ['touch marker']"),
    "python/object/new": ("payload", "payload: !!python/object/new:subprocess.Popen [['true']]"),
    "python/name": ("payload", "payload: !!python/name:os.system"),
    "python/module": ("payload", "payload: !!python/module:this"),
    "a tag in a list": ("payload[]", "payload: [1, !!python/object/apply:os.mkdir [marker.e]]"),
    "a tag for a number": ("payload", "payload: !!int '5'"),
    "billion laughs": ("l0", f"l0: &l0 [lol, lol]\n{_LAUGHS}"),
    "a merge": ("payload", "base: {a: 1}\npayload: {<<: {a: 1}}"),
    "a recursive anchor": ("payload", "payload: &a [*a]"),
    "a key twice": ("seed", "seed: 5"),
    "a group twice": ("optimizer", "optimizer: {name: adam}"),
    "a key twice below": ("payload", "payload: {a: 1, a: 2}"),
    "a key that is no text": ("1", "1: 2"),
    "a key that is a list": ("keys are texts", "? [1, 2]\n: 3"),
    "deep lists": ("payload", "payload: " + "[" * 200_000),
    "deep mappings": ("payload", "payload: " + "{a: " * 100_000),
    "many values": ("values", "payload: [" + "1," * 300_000 + "]"),
    "digits": ("payload", "payload: " + "9" * 500_000),
    "minutes and seconds": ("payload", "payload: 1" + ":1" * 300_000),
    "too long": ("1,000,000 bytes", "# " + "x" * 1_000_000),
    "a second document": ("document", "---\nstore: /\n"),
    "a date": ("payload", "payload: 2001-01-01"),
    "half a character": ("line", 'payload: "\\ud800"'),
    "a control character": ("control characters", "payload: \x01"),
}
