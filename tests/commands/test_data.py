import os
import re
import shutil
import signal
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_iris

from nnlab.data.sources.named import Named
from nnlab.runs.registry import GROUPS

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"
OFFLINE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
"""A proxy that is not there: no server can be reached."""

COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
"""Of the labels of MNIST's training images, as they are published."""


@pytest.fixture
def home(bench):
    """The data home of a test: nothing is there, and nothing can be fetched."""
    return bench.folder / "home"


@pytest.fixture
def data(bench, home):
    """`nnlab data ...`, offline."""

    def run(*arguments, **options):
        return bench("data", *arguments, **{"NNLAB_DATA": str(home)} | OFFLINE | options)

    return run


@pytest.fixture
def with_mnist(home):
    if not SHARED.is_dir():
        pytest.skip(f"there are no real files in {SHARED}")
    shutil.copytree(SHARED, home / "mnist")


@pytest.fixture
def mirror(bench):
    """A server of the real files below FOLDER/, slow if it is told; where it is."""
    if not SHARED.is_dir():
        pytest.skip(f"there are no real files in {SHARED}")

    class Handler(SimpleHTTPRequestHandler):
        slow = 0.0

        def log_message(self, *arguments):
            pass

        def copyfile(self, source, output):
            while piece := source.read(10_000):
                output.write(piece)
                time.sleep(Handler.slow)

    handler = partial(Handler, directory=str(SHARED.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *arguments: None
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        server.handler = Handler
        yield server
        server.shutdown()
        thread.join()


def at(mirror):
    return {"NNLAB_MIRROR": f"http://127.0.0.1:{mirror.server_port}", "NO_PROXY": "127.0.0.1"}


def test_list_has_every_data_set(data, with_mnist, home):
    done = data("list")
    for name, source in GROUPS["data"].items():
        if issubclass(source, Named):
            (line,) = re.findall(rf"^{name} .*", done.out, re.MULTILINE)
            assert f"{source.facts.examples:,}" in line
            assert (f"not here: nnlab data fetch {name}" in line) == bool(
                source.published and not name.startswith("mnist")
            )
        else:
            assert re.search(rf"^of your own, or made: .*\b{name}\b", done.out, re.MULTILINE)
    assert done.out.count(f" {home}/mnist") == 2
    assert "60,000   32x32x3  10 classes  170.1 MB" in done.out


def test_info_of_images(data, with_mnist, bench):
    done = data("info", "mnist")
    assert "examples     70,000: 60,000 train, 10,000 test (named by the data)" in done.out
    assert "inputs       (70000, 28, 28) uint8, 0 to 255" in done.out
    counts = re.findall(r"^(\d) +[\d,]+ +([\d,]+) +[\d,]+$", done.out, re.MULTILINE)
    assert counts == list(
        zip(
            "0123456789",
            [f"{count:,}" for count in COUNTS],
            strict=True,
        )
    )
    assert re.search(r"fingerprint +[0-9a-f]{64}\s", done.out)
    assert re.search(r"train-images-idx3-ubyte.gz, 9.6 MB, other bytes than published", done.out)
    assert done.out.count(", as published") == 3
    assert "25 examples are drawn in mnist.png" in done.out
    with Image.open(bench.folder / "mnist.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 50
    assert bench.runs() == set()


def test_info_draws_where_it_is_told(data, bench):
    data("info", "digits", "--picture", "some.png")
    assert [path.name for path in bench.folder.glob("*.png")] == ["some.png"]


def test_info_of_a_table(data, bench):
    done = data("info", "iris")
    x = load_iris().data
    for k, name in enumerate(load_iris().feature_names):
        numbers = (x[:, k].min(), x[:, k].mean(), x[:, k].max(), *x[:3, k])
        row = " +".join(re.escape(f"{number:.5g}") for number in numbers)
        assert re.search(rf"^{re.escape(name)} +number +{row}$", done.out, re.MULTILINE)
    assert re.search(r"^target +class +setosa +setosa +setosa$", done.out, re.MULTILINE)
    assert re.search(r"^versicolor +50$", done.out, re.MULTILINE)
    assert not list(bench.folder.glob("*.png"))
    done = data("info", "diabetes")
    assert "targets      a number, 25 to 346, mean 152.133" in done.out
    assert re.search(r"^target +number +25 +152.13 +346 +151 +75 +141$", done.out, re.MULTILINE)


def test_info_takes_the_keys_of_the_data(data):
    done = data("info", "moons", "data.examples=40")
    assert re.search(r"^examples +40 *$", done.out, re.MULTILINE)
    same = data("info", "moons", "data.examples=40", "data.split_seed=3")
    assert same.out == done.out


ERRORS = {
    "nothing to do": ([], "the following arguments are required: list | fetch | info"),
    "something else": (["lst"], "invalid choice: 'lst'"),
    "nothing to fetch": (["fetch"], "the following arguments are required: NAME"),
    "an unknown name to fetch": (
        ["fetch", "iris", "mnits"],
        "there is no data set mnits (did you mean mnist?); there are digits, iris, wine, ",
    ),
    "an unknown name": (["info", "mnits"], "data has no choice mnits (did you mean mnist?)"),
    "an unknown key": (["info", "iris", "data.sclae=unit"], "(did you mean data.scale?)"),
    "a value out of range": (
        ["info", "iris", "data.test=2"],
        "`0 <= test < 1` must hold, but got test=2.0 (data.test)",
    ),
    "a formula that is no number": (
        ["info", "formula", 'data.formula="log(x1)"'],
        "of 1000 examples; change it, low or high (data.formula)",
    ),
    "numbers that are too large": (
        ["info", "blobs", "data.noise=1e308"],
        "choose smaller numbers (data=blobs)",
    ),
    "no images": (["info", "iris", "--picture", "x.png"], "iris has no images to draw (--picture)"),
    "no folder for the picture": (
        ["info", "digits", "--picture", "no/x.png"],
        "no/x.png cannot be written",
    ),
    "not here": (["info", "mnist"], "mnist is not here: `nnlab data fetch mnist` fetches it"),
    "offline": (["fetch", "kmnist"], "kmnist could not be fetched"),
}


@pytest.mark.parametrize(("arguments", "said"), ERRORS.values(), ids=ERRORS)
def test_bad_input_is_said_clearly(data, arguments, said):
    done = data(*arguments, code=2)
    assert said in done.err
    assert done.err.startswith("nnlab: ")


def test_offline_the_error_says_which_files_to_put_where(data, home):
    done = data("fetch", "cifar10", code=2)
    assert "fetching cifar10: 1 file, 170.1 MB" in done.out
    assert f"or put by hand into {home}/cifar10\n" in done.err
    assert "cifar-10-binary.tar.gz (170,052,171 bytes) from https://" in done.err
    assert done.err.count("Connection refused") == 2


def test_what_is_there_is_not_fetched(data, with_mnist, home):
    done = data("fetch", "mnist", "mnist_100", "iris", "moons")
    assert f"mnist is in {home}/mnist\n" in done.out
    assert f"mnist_100 is in {home}/mnist\n" in done.out
    assert "iris: there is nothing to fetch, for it comes with scikit-learn" in done.out
    assert "moons: there is nothing to fetch, for it has data.scale, " in done.out


def test_fetching_from_a_mirror_of_ones_own(data, mirror, home):
    """The large file was compressed again, so it is refused; the three others come."""
    done = data("fetch", "mnist", code=2, **at(mirror))
    assert "train-images-idx3-ubyte.gz: it has 9,630,610 bytes, not 9,912,422 as published" in (
        done.err
    )
    shutil.copy(SHARED / "train-images-idx3-ubyte.gz", home / "mnist")
    done = data("fetch", "mnist", **at(mirror))
    assert "fetching mnist: 3 files, 1.7 MB" in done.out
    assert sorted(path.name for path in (home / "mnist").iterdir()) == sorted(
        path.name for path in SHARED.glob("*.gz")
    )
    assert data("info", "mnist").out.count(", as published") == 3


def test_an_interrupted_fetch_is_gone_on_with(bench, data, mirror, home, monkeypatch):
    (home / "mnist").mkdir(parents=True)
    shutil.copy(SHARED / "train-images-idx3-ubyte.gz", home / "mnist")
    mirror.handler.slow = 0.02
    for key, value in ({"NNLAB_DATA": str(home)} | OFFLINE | at(mirror)).items():
        monkeypatch.setenv(key, value)
    part = home / "mnist" / "t10k-images-idx3-ubyte.gz.part"
    with bench.start("data", "fetch", "mnist") as process:
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > 100_000):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "interrupted" in err
    there = part.stat().st_size
    assert 100_000 <= there < 1_648_877
    part.write_bytes((SHARED / "t10k-images-idx3-ubyte.gz").read_bytes()[:there])
    mirror.handler.slow = 0.0
    assert "mnist is in" in data("fetch", "mnist", **at(mirror)).out
    assert not part.exists()


def test_on_a_terminal_a_bar_is_shown(bench, mirror, home, on_a_terminal, monkeypatch):
    (home / "mnist").mkdir(parents=True)
    shutil.copy(SHARED / "train-images-idx3-ubyte.gz", home / "mnist")
    mirror.handler.slow = 0.005
    for key, value in ({"NNLAB_DATA": str(home)} | OFFLINE | at(mirror)).items():
        monkeypatch.setenv(key, value)
    code, shown = on_a_terminal(bench, "data", "fetch", "mnist")
    assert code == 0
    assert re.search(r"t10k-images-idx3-ubyte.gz .* \d.\d/1.6 MB", shown)


def test_completion_knows_what_comes_after_it(bench):
    def complete(line):
        return bench("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line))).out.split()

    assert complete("nnlab data ") == ["fetch", "info", "list"]
    assert complete("nnlab data fetch mn") == ["mnist", "mnist_100"]
    assert complete("nnlab data info iris wi") == ["wine"]


@pytest.mark.slow
def test_an_mlp_on_mnist_has_97_5_percent_in_ten_epochs(bench, home, with_mnist):
    done = bench("train", "+experiment=mlp_mnist", "tracking=none", NNLAB_DATA=str(home))
    (run,) = done.runs
    last = [one for one in bench.records(run) if one["type"] == "report"][-1]
    assert last["metrics"]["epoch"] == 10
    assert float(last["metrics"]["test/accuracy"]) >= 0.975


def test_train_fetches_what_is_missing_before_it_begins(bench, mirror, home):
    (home / "mnist").mkdir(parents=True)
    shutil.copy(SHARED / "train-images-idx3-ubyte.gz", home / "mnist")
    arguments = ["data=mnist", "tracking=none", "batch_size=1000", "stopping.max_epochs.epochs=1"]
    where = {"NNLAB_DATA": str(home)} | OFFLINE
    done = bench("train", *arguments, **where | at(mirror))
    assert "fetching mnist: 3 files, 1.7 MB" in done.out and len(done.runs) == 1
    assert "fetching" not in bench("train", *arguments, **where).out


@pytest.mark.parametrize("command", ["train", "check"])
def test_offline_nothing_is_begun(bench, home, command):
    where = {"NNLAB_DATA": str(home)} | OFFLINE
    done = bench(command, "data=mnist", "tracking=none", code=2, **where)
    assert "mnist could not be fetched" in done.err and f"{home}/mnist" in done.err
    assert bench.runs() == set()
