"""A process that an audit hook watches: `python hostile_driver.py ours|control FOLDER`.

Every case of the corpus is put into a logged run's files, and goes the way of a fetched run in
`nnlab reproduce`, up to its training; or, as the control, through PyYAML's unsafe loader, OmegaConf
and Hydra's `instantiate`. What each did, took and said is printed as JSON.
"""

import json
import os
import resource
import sys
import time
from argparse import Namespace
from copy import deepcopy
from pathlib import Path

import numpy as np
import yaml
from hostile import PLACES, RESOLVER_KEYS, RESOLVERS, TARGETS, TEXTS, VALUES, Touch

SECRET = "hunter2"
TOLD = ["good.csv", "evil.npy"]
"""What the user names by --data."""
FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn"),
    *("os.spawn", "socket.connect", "socket.bind", "socket.getaddrinfo", "pickle.find_class"),
    *("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "shutil.copyfile"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
seen: list[str] = []
watching = False


def hook(event, arguments):
    if not watching:
        return
    if event in FORBIDDEN:
        seen.append(f"{event} {str(arguments)[:80]}")
    elif event == "import" and arguments[0] not in sys.modules:
        seen.append(f"import {arguments[0]}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        seen.append(f"open {str(arguments[0])[:80]}")


def changed(plain, values, sources):
    """A config with other values by dotted keys; `data` is another source, + a key as it is."""
    made = deepcopy(plain)
    for key, value in values.items():
        if key == "data" and isinstance(value, str):
            made["data"] = deepcopy(sources[value])
        elif key.startswith("+"):
            made[key[1:]] = value
        else:
            *groups, last = key.split(".")
            mapping = made
            for group in groups:
                mapping = mapping[group]
            mapping[last] = value
    return made


def cases(plain, sources):
    """(name, the key that must be named, the YAML text)."""
    for number, (name, payload) in enumerate(TARGETS.items()):
        place, key = PLACES[number % len(PLACES)]
        yield f"target {name}", key, yaml.safe_dump(changed(plain, {place: payload}, sources))
    for number, (name, text) in enumerate(RESOLVERS.items()):
        key = RESOLVER_KEYS[number % len(RESOLVER_KEYS)]
        yield f"resolver {name}", key, yaml.safe_dump(changed(plain, {key: text}, sources))
    for name, (key, values) in VALUES.items():
        text = yaml.dump(changed(plain, values, sources), Dumper=yaml.CSafeDumper)
        yield f"value {name}", key, text
    for name, (key, text) in TEXTS.items():
        yield f"text {name}", key, yaml.safe_dump(plain) + text


def ours(folder, text):
    """The way of a fetched run, to its first evaluation."""
    from nnlab.commands.fetching import provide
    from nnlab.commands.reproduce import _given
    from nnlab.data import fingerprint
    from nnlab.reproduction.logged import of_folder
    from nnlab.runs.execution import Execution

    options = Namespace(
        store=str(folder / "store"), uri="sqlite:///none.db", data=TOLD, tolerance=0
    )
    logged = of_folder(folder)
    config = _given(logged, options)
    assert (str(config.store), config.tracking.uri) == (options.store, options.uri)
    provide(config.experiment.data)
    with fingerprint.anew():
        execution = Execution(config, logged.until)
    next(execution.members[0].training.run(execution.members[0].state))


def control(folder, text):
    """What a program does that trusts its configs."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    loaded = yaml.unsafe_load(text)
    resolved = OmegaConf.to_container(OmegaConf.create(loaded), resolve=True)
    if SECRET in str(resolved):
        seen.append("the environment was read")
    for value in resolved.values():
        try:
            instantiate(value, _convert_="all")
        except Exception:
            continue


def main():
    global watching
    how, folder = sys.argv[1], Path(sys.argv[2])
    os.chdir(folder)
    os.environ["NNLAB_SECRET"] = SECRET
    from nnlab.runs.compose import compose

    plain = compose(["tracking=mlflow", "data=iris", "stopping.max_epochs.epochs=1"])
    tables = ["table", "images", "moons", "blobs", "gaussian_mixture", "formula"]
    named = {"table": ["data.path=x.csv", "data.target=target"], "images": ["data.path=x"]}
    sources = {one: compose([f"data={one}", *named.get(one, [])])["data"] for one in tables}
    np.save("evil.npy", np.array([Touch()] * 9, object), allow_pickle=True)
    Path("good.csv").write_text("a,b,target\n" + "1,2,x\n3,1,z\n" * 20)
    Path("environment.json").write_text("{}")
    points = {"train/loss": [[0, 1.0], [2, 0.5]]}
    tags = {"nnlab.stop_rule": "max_epochs"}
    head = {"run": "a" * 12, "mlflow": "b" * 32, "name": "train-x", "status": "FINISHED"}
    logged = {**head, "tags": tags, "params": {}, "metrics": points}
    Path("logged.json").write_text(json.dumps(logged))
    run = ours if how == "ours" else control
    if how == "ours":
        for good in (plain, changed(plain, {"data": "table", "data.path": "good.csv"}, sources)):
            Path("config.yaml").write_text(yaml.safe_dump(good))
            run(folder, "")  # what it imports is the closed list
        for bad in ({"optimizer.name": "x"}, {"data": "table", "data.path": "none.csv"}):
            Path("config.yaml").write_text(yaml.safe_dump(changed(plain, bad, sources)))
            try:
                run(folder, "")
            except Exception as error:  # what says an error is imported, too
                str(error)
    sys.addaudithook(hook)
    held = resource.getrlimit(resource.RLIMIT_AS)[1]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 3 * 10**9, held))
    told = []
    for name, key, text in cases(plain, sources):
        if how == "control" and (len(text) > 10_000 or "value" in name or "laughs" in name):
            continue  # what only takes time or memory
        Path("config.yaml").write_bytes(text.encode())
        seen.clear()
        began, error = time.perf_counter(), "None"
        watching = True
        try:
            run(folder, text)
        except BaseException as raised:
            watching = False
            error = f"{type(raised).__name__}: {raised}"
        watching = False
        told.append([name, key, error, list(seen), time.perf_counter() - began])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"cases": told, "peak": peak, "marker": Path("marker").exists()}))


if __name__ == "__main__":
    main()
