"""Whatever the bytes of what is read of a run: a right answer or an error that says so, soon.

The readers of data sets have tests of their own: tests/data/tables/test_fuzz.py (CSV, NumPy,
Parquet, Feather), tests/data/formats (IDX, CIFAR, archives), tests/data/stream/test_files.py.
"""

import copy
import io
import json
import shutil
import zipfile
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from time import process_time
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnlab.errors import UserError
from nnlab.reproduction import comparison, report
from nnlab.reproduction.code import differing
from nnlab.reproduction.environment import judged
from nnlab.reproduction.locating import located
from nnlab.reproduction.logged import of_folder
from nnlab.reproduction.parameters import AVERAGED, Weights, compare
from nnlab.reproduction.verdict import CODES, Reproduction
from nnlab.runs import checkpoint
from nnlab.runs.compose import compose
from nnlab.runs.config import RunConfig, parse, prepare
from nnlab.runs.damage import damage
from nnlab.runs.execution import Execution
from nnlab.runs.journal import JournalError, encode, read
from nnlab.runs.plain import dump, flatten, load
from nnlab.runs.run import HASHES, Run
from nnlab.runs.strict import StrictError, from_json, from_yaml
from nnlab.runs.weights import arrays
from nnlab.tracking.entries import last_words
from nnlab.training.trainer import Training

SECONDS, KILOBYTES = 10.0, 300_000
"""Of the processor, and of memory, for one file: a thousand times what a good one takes."""
FILES = ("config.yaml", "environment.json", "data.json", "journal.jsonl", "weights.npz")
DIGITS = "9" * 400
ODD = (
    *(None, True, False, 0, -1, 2**63, 2**70, 10**400, 0.5, -0.0, 1e308, "", "x", "\0", "\ud800"),
    *("NaN", "Infinity", "-Infinity", "1e999", DIGITS, "../../x", "${oc.env:HOME}", "\x1b[2J"),
    *([], {}, [[]], {"": {}}, [None], {"name": None}, {"a": {"a": {"a": {"a": 1}}}}, "y" * 5000),
)
"""What a value is replaced by."""
TOKENS = (
    *(
        "[" * 3000,
        '{"a":' * 3000,
        "- " * 3000,
        "{",
        "}",
        "]",
        '"',
        "'",
        ":",
        ",",
        "\n",
        "\0",
        "!!x",
    ),
    *("!!python/object/apply:os.mkdir [x]", "&a", "*a", "<<: *a", "---", "%TAG", "? ", "|", ">"),
    *(DIGITS, "1e999", "NaN", "-.inf", ".nan", "0x_", "1:1:1", "2001-01-01", "${seed}", "\\ud800"),
    *("\ufeff", "null", "true", "é", "\t", "#", '"n":0,', '{"crc":"00000000",'),
)
"""What is put into a text."""
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def bounded(*refused):
    """Nothing but these errors comes out, and not late, and without much memory."""
    began, before = process_time(), getrusage(RUSAGE_SELF).ru_maxrss
    try:
        yield
    except refused as error:
        assert len(str(error)) < 20_000
    assert process_time() - began < SECONDS
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < KILOBYTES


@st.composite
def mutated(draw, content):
    """The bytes with a few things changed: bits, cuts, lines, tokens, parts of themselves."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(made) - 1, 0)))
        other = draw(st.integers(0, max(len(made) - 1, 0)))
        begin, end = sorted((place, other))
        lines = made.split(b"\n")
        line = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 7)):
            case 0 if made:
                made[place] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del made[place:]
            case 2:
                del made[begin : min(end, begin + 30)]
            case 3:
                made = bytearray(b"\n".join([*lines[:line], lines[line], *lines[line:]]))
            case 4:
                made = bytearray(b"\n".join(lines[:line] + lines[line + 1 :]))
            case 5:
                made[place:place] = draw(st.sampled_from(TOKENS)).encode(errors="surrogatepass")
            case 6:
                made[place:place] = made[begin:end][:500]
            case _ if made:
                made[place] = draw(st.integers(0, 255))
    return bytes(made)


@st.composite
def replaced(draw, value):
    """Plain data with a few of its values replaced, removed or exchanged, however deep they are."""
    made = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        here = made
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 3)):
                here = here[key]
                continue
            what = draw(st.integers(0, 9))
            if what == 0:
                del here[key]
            elif what == 1 and isinstance(here, dict):
                here[draw(st.sampled_from(("", "name", "x" * 300, "a.b", "\0")))] = here.pop(key)
            else:
                here[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
            break
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the irises: its directory with a checkpoint, and the config that made it."""
    store = tmp_path_factory.mktemp("store")
    overrides = ("data=iris", "model.hidden=[3]", "tracking=none", "stopping.max_epochs.epochs=2")
    config = parse(compose([*overrides, f"store={store}"]))
    execution = Execution(config)
    with Run.of(config, "train") as made:
        with execution.recorded(made) as reports:
            for _ in reports:
                pass
        execution.keep_weights(made)
    return made.path, config


@pytest.fixture(scope="module")
def files(run):
    """What is fetched of that run, as bytes by name."""
    path, _ = run
    found = {name: (path / name).read_bytes() for name in FILES}
    records = read(path / "journal.jsonl")
    metrics = {}
    for record in records:
        for name, value in record.get("metrics", {}).items():
            metrics.setdefault(name, []).append([record["step"], value])
    tags = {
        key: tag for one in records if one["type"] == "tags" for key, tag in one["tags"].items()
    }
    start = {"nnlab.run": path.name, "nnlab.kind": "train", **records[0]["tags"]}
    logged = {
        **{"run": path.name, "mlflow": "f" * 32, "name": "n", "status": "FINISHED"},
        **{
            "tags": {**start, **tags, **last_words(records[-1])},
            "params": dict(records[0]["params"]),
            "metrics": metrics,
        },
    }
    return found | {"logged.json": json.dumps(logged).encode()}


def reproduced(files):
    """All that is done with the fetched files of a run, up to its report, but the training."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        logged = of_folder(folder)
        logged.check_begun()
        located(logged.config, logged.data, [])
        config = parse(logged.config)
        network = prepare(config).network
        result = Reproduction(
            logged,
            "0123456789ab",
            comparison.compare(logged, logged.points),
            comparison.Stopped(logged.ended, logged.ended, logged.by_config),
            comparison.hashes(logged, dict.fromkeys(HASHES, "0")),
            compared(logged, network),
            judged(logged.environment, {"nnlab": "0"}, (logged.diff, "")),
            differing(logged.environment, logged.diff or "", logged.environment, "x"),
        )
        told = report.told(result, "new", {"nnlab": "0"})
        json.dumps(told, allow_nan=False)
        report.html(told)
        return result


def compared(logged, network):
    """Its weights beside those of a file that is always good."""
    with TemporaryDirectory() as name:
        mine = Path(name) / "weights.npz"
        shapes = {name: slot.shape for name, slot in network.layout.slots.items()}
        if sum(map(np.prod, shapes.values())) > 10**6:
            return Weights({}, {}, "large")
        new = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        np.savez(mine, **new, **{AVERAGED + name: array for name, array in new.items()})
        return compare(logged.weights, [(network, mine)])


def test_the_good_files_are_read(files):
    result = reproduced(files)
    assert result.verdict in CODES
    assert result.logged.damage == "" and result.logged.journal
    assert len(result.weights.parameters) == 8
    assert result.inconsistent == []


# configs


@QUICK
@given(data=st.data())
def test_a_config_whose_text_is_changed(files, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(data.draw(mutated(files["config.yaml"])))
    with bounded(UserError):
        check_config(load(path))


@QUICK
@given(data=st.data())
def test_a_config_whose_values_are_changed(run, data):
    _, config = run
    plain = from_yaml(dump(config.plain))
    with bounded(UserError):
        check_config(data.draw(replaced(plain)))


def check_config(plain):
    """A config that is taken is one that can be shown and prepared, or is refused."""
    parsed = parse(plain)
    assert isinstance(parsed, RunConfig)
    assert all(isinstance(text, str) for _, text in flatten(plain))
    assert isinstance(prepare(parsed), Training)


@QUICK
@given(st.data())
def test_any_text_as_yaml_or_json(data):
    tokens = st.lists(st.sampled_from((*TOKENS, "a: ", "1", " ", "\n  ", "b")), max_size=12)
    text = data.draw(st.text(max_size=60) | tokens.map("".join))
    for parser in (from_yaml, from_json):
        with bounded(StrictError):
            json.dumps(parser(text))


# journals


@QUICK
@given(data=st.data())
def test_a_journal_that_is_changed_gives_what_was_written_or_an_error(
    files, tmp_path_factory, data
):
    content, path = files["journal.jsonl"], tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    path.write_bytes(content)
    written = read(path)
    path.write_bytes(data.draw(mutated(content)))
    whole = damage(path) is None
    with bounded(JournalError):
        found = read(path)
        assert found == written[: len(found)]
        assert whole


@QUICK
@given(data=st.data())
def test_a_journal_of_somebody_who_knows_the_checksum(files, data):
    """Every line has its CRC-32 and its number, but says something else."""
    records = [json.loads(line) for line in files["journal.jsonl"].splitlines()]
    for record in records:
        del record["crc"]
    changed = data.draw(replaced(records))
    lines = b""
    for n, one in enumerate(changed):
        if not isinstance(one, dict) or not one:
            continue
        try:
            lines += encode({**one, "n": n} if data.draw(st.booleans()) else one) + b"\n"
        except (ValueError, TypeError):  # half a character has no bytes
            return
    with bounded(UserError):
        reproduced(files | {"journal.jsonl": lines})


@pytest.mark.parametrize("body", ["[", '"n":0,"type":1e999999,', "}}", '"n":' + DIGITS * 20 + "}"])
def test_a_line_with_its_checksum_that_is_no_json(tmp_path, body):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"crc":"%08x",%b\n' % (crc32(body.encode()), body.encode()))
    with pytest.raises(JournalError, match="damaged at byte 0"):
        read(path)


# what was fetched


@pytest.mark.parametrize("name", ["environment.json", "data.json", "config.yaml"])
@QUICK
@given(data=st.data())
def test_a_fetched_file_whose_text_is_changed(files, name, data):
    with bounded(UserError):
        reproduced(files | {name: data.draw(mutated(files[name]))})


@pytest.mark.parametrize("name", ["environment.json", "data.json", "config.yaml"])
@QUICK
@given(data=st.data())
def test_a_fetched_file_whose_values_are_changed(files, name, data):
    content = from_yaml(files[name].decode()) if "yaml" in name else json.loads(files[name])
    changed = data.draw(replaced(content))
    text = json.dumps(changed)  # which YAML is too
    with bounded(UserError):
        reproduced(files | {name: text.encode(errors="surrogatepass")})


@QUICK
@given(data=st.data())
def test_texts_and_numbers_of_a_tracker_that_are_changed(files, data):
    """What the fetching process writes has its own form, but what it says is the tracker's."""
    logged = json.loads(files["logged.json"])
    texts = st.sampled_from([one for one in ODD if isinstance(one, str)] + [None])
    for key in ("tags", "params"):
        for name in data.draw(st.lists(st.sampled_from(sorted(logged[key])), max_size=3)):
            text = data.draw(texts)
            logged[key].pop(name, None)
            logged[key] |= {} if text is None else {name: text}
    for name in data.draw(st.lists(st.sampled_from(sorted(logged["metrics"])), max_size=3)):
        step = st.integers(-(2**63), 2**63 - 1)
        points = st.lists(st.tuples(step, st.floats()), max_size=3)
        logged["metrics"][data.draw(texts) or name] = data.draw(points)
    logged["name"] = data.draw(texts) or ""
    with bounded(UserError):
        reproduced(files | {"logged.json": json.dumps(logged).encode(errors="surrogatepass")})


# arrays


@QUICK
@given(data=st.data())
def test_weights_that_are_changed(run, files, tmp_path_factory, data):
    path, content = tmp_path_factory.getbasetemp() / "fuzzed.npz", files["weights.npz"]
    with np.load(io.BytesIO(content)) as loaded:
        good = {name: loaded[name] for name in loaded.files}
    path.write_bytes(data.draw(mutated(content)))
    with bounded(UserError):
        found = arrays(path, {name: array.shape for name, array in good.items()}, np.float32)
        for name, array in good.items():
            assert found[name].tobytes() == array.tobytes()


@pytest.fixture(scope="module")
def checkpointed(run, tmp_path_factory):
    """A training, the params of its config, and the bytes of a checkpoint of it."""
    _, config = run
    training = prepare(config)
    state, params = training.start(), dict(flatten(config.plain))
    for last in training.run(state):
        if last.step:
            break
    folder = tmp_path_factory.mktemp("checkpoints")
    return training, params, checkpoint.save(folder, training, state, params), folder


def restored(checkpointed, name, content):
    """The state of which the file says that it is one."""
    training, params, _, _ = checkpointed
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        state = training.start()
        checkpoint.restore(Path(folder), training, state, params, reported=100)
        return state


@QUICK
@given(data=st.data())
def test_a_checkpoint_that_is_changed_is_never_used(checkpointed, data):
    path = checkpointed[2]
    content = data.draw(mutated(path.read_bytes()))
    if content != path.read_bytes():
        with pytest.raises(UserError, match="cannot be used"), bounded():
            restored(checkpointed, path.name, content)


def renamed(content):
    return f"step-{1:012}-{sha256(content).hexdigest()[:16]}.npz"


@QUICK
@given(data=st.data())
def test_a_checkpoint_of_somebody_who_knows_the_hash(checkpointed, data):
    content = data.draw(mutated(checkpointed[2].read_bytes()))
    with bounded(UserError):
        restored(checkpointed, renamed(content), content)


@QUICK
@given(data=st.data())
def test_a_checkpoint_that_says_something_else_of_itself(checkpointed, data):
    with np.load(checkpointed[2]) as loaded:
        parts = {name: loaded[name] for name in loaded.files}
    about = data.draw(replaced(json.loads(str(parts["about"]))))
    content = io.BytesIO()
    np.savez(content, **{**parts, "about": np.array(json.dumps(about))})
    with bounded(UserError):
        state = restored(checkpointed, renamed(content.getvalue()), content.getvalue())
        assert isinstance(state.step, int) and isinstance(state.reports, int)


def test_a_checkpoint_that_is_a_bomb_takes_no_memory(checkpointed):
    """A zip of a few kilobytes whose array has 8 GB of zeros."""
    with np.load(checkpointed[2]) as loaded:
        parts = {name: loaded[name] for name in loaded.files}
    content = io.BytesIO()
    np.savez(content, **parts)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        header = io.BytesIO()
        described = {"descr": "<f8", "fortran_order": False, "shape": (10**9,)}
        np.lib.format.write_array_header_1_0(header, described)
        with archive.open("bomb.npy", "w", force_zip64=True) as file:
            file.write(header.getvalue())
            for _ in range(500):
                file.write(bytes(1 << 20))
    with bounded(UserError):
        restored(checkpointed, renamed(content.getvalue()), content.getvalue())


def test_a_copy_of_the_run_is_as_good(run, tmp_path):
    """The control: what is mutated above is read where it is not."""
    path, _ = run
    shutil.copytree(path, tmp_path / "copy")
    assert read(tmp_path / "copy" / "journal.jsonl") == read(path / "journal.jsonl")
