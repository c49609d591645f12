"""What `nnlab data info` says of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nnlab.commands.console import console, say
from nnlab.commands.fetching import size
from nnlab.errors import UserError
from nnlab.runs.compose import compose

if TYPE_CHECKING:
    from nnlab.core.arrays import Array
    from nnlab.data.dataset import Dataset
    from nnlab.data.ranges import Ranges
    from nnlab.data.sources.source import Source
    from nnlab.data.view import Stored

PICTURED, COLUMNS, EXAMPLES = 25, 40, 3
"""So many images are drawn; so many columns of a table are shown, and so many of its examples."""


def describe(name: str, overrides: Sequence[str], picture: str | None) -> None:
    """Print what is in a data set, and draw some of it if it has images."""
    config = compose([f"data={name}", *overrides])
    from nnlab.core.laws import LawError
    from nnlab.data.ranges import ranges
    from nnlab.runs.config import parse

    source = parse(config).experiment.data
    try:
        dataset = source.load()
    except LawError as error:
        own = error.field in {field.name for field in fields(source)}
        raise UserError(f"{error} ({f'data.{error.field}' if own else f'data={name}'})") from error
    shape = _image(source, dataset)
    if picture and not shape:
        raise UserError(f"{name} has no images to draw (--picture)")
    inputs = ranges(dataset.x)
    first, _, _ = cleandoc(source.__doc__ or "").partition("\n\n")
    say(f"{name}: {' '.join(first.split()).rstrip(',:')}", "bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    for what, text in (*_contents(dataset, inputs), *_files(source)):
        table.add_row(what, Text(text, overflow="fold"))
    console.print(table)
    if dataset.classes:
        console.print(_classes(dataset))
    if shape:
        path = Path(picture or f"{name}.png")
        _draw(dataset, shape, path)
        say(f"{min(PICTURED, len(dataset.y))} examples are drawn in {path}")
    else:
        console.print(_columns(dataset, inputs))


def _contents(dataset: Dataset, inputs: Ranges) -> Iterator[tuple[str, str]]:
    import numpy as np

    x, y = dataset.x, dataset.y
    low, high = np.fmin.reduce(inputs.low), np.fmax.reduce(inputs.high)
    yield "examples", f"{len(y):,}{_parts(dataset)}"
    missing = inputs.missing.sum()
    lacking = f", {missing:,} missing" if missing else ""
    yield "inputs", f"{tuple(x.shape)} {x.dtype.name}, {low:g} to {high:g}{lacking}"
    if dataset.classes:
        yield "targets", f"{len(dataset.classes)} classes"
    else:
        what = "a number" if y.shape[1] == 1 else f"{y.shape[1]} numbers"
        yield "targets", f"{what}, {y.min():g} to {y.max():g}, mean {y.mean():g}"
    if dataset.weights is not None:
        yield "weights", f"{dataset.weights.min():g} to {dataset.weights.max():g}"
    if dataset.origin:
        yield "from", dataset.origin
    yield "fingerprint", dataset.fingerprint


def _parts(dataset: Dataset) -> str:
    """How many are in the parts that the data name themselves."""
    said = [f"{there.sum():,} {name}" for name, there in _named(dataset)]
    return f": {', '.join(said)} (named by the data)" if said else ""


def _named(dataset: Dataset) -> list[tuple[str, Array]]:
    """The parts that the data name, and which examples `(n,)` are in each."""
    from nnlab.data.dataset import PARTS

    if dataset.parts is None:
        return []
    there = {name: dataset.parts == part for name, part in PARTS.items()}
    return [(name, rows) for name, rows in there.items() if rows.any()]


def _files(source: Source) -> Iterator[tuple[str, str]]:
    """The files that a data set by name is read from: are they the published ones?"""
    from nnlab.data.fetch import is_published
    from nnlab.data.sources.named import Named

    if not isinstance(source, Named) or not source.published:
        return
    known = {file.name: file for file in source.published.files}
    for path in source.files():
        said = f"{path.name}, {size(path.stat().st_size)}"
        if path.name in known:
            same = is_published(path, known[path.name])
            said += ", as published" if same else ", other bytes than published"
        yield "file", said


def _classes(dataset: Dataset) -> Table:
    """How many examples each class has, in each part that the data name."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("examples", justify="right")
    parts = _named(dataset)
    for name, _ in parts:
        table.add_column(name, justify="right")
    for label, name in enumerate(dataset.classes):
        there = dataset.y == label
        counts = [there, *(there & rows for _, rows in parts)]
        table.add_row(Text(name), *(f"{one.sum():,}" for one in counts))
    return table


def _columns(dataset: Dataset, inputs: Ranges) -> Table:
    """Each feature and target: its range, and its value in the first examples."""
    from nnlab.data.ranges import ranges

    x = _first(dataset.x)
    table = Table(box=None, pad_edge=False)
    table.add_column("column")
    table.add_column("kind")
    for heading in ("min", "mean", "max", *(f"example {k}" for k in range(len(x)))):
        table.add_column(heading, justify="right", no_wrap=True)

    def row(name: str, kind: str, found: Ranges, k: int, examples: Array) -> None:
        if found.missing[k]:
            kind = f"{kind}, {found.missing[k]:,} missing"
        numbers = (found.low[k], found.mean[k], found.high[k], *examples[:, k])
        said = (f"{number:.5g}" if number == number else "" for number in numbers)
        table.add_row(Text(name), kind, *said)

    features = x.shape[1]
    for k in range(min(features, COLUMNS)):
        name = dataset.names[k] if dataset.names else f"x{k + 1}"
        row(name, dataset.kinds[k] if dataset.kinds else "number", inputs, k, x)
    if features > COLUMNS:
        table.add_row(f"... {features - COLUMNS:,} more")
    y = dataset.y[: len(x)]
    if dataset.classes:
        labels = (dataset.classes[label] for label in y)
        table.add_row("target", "class", "", "", "", *map(Text, labels))
    else:
        targets = ranges(dataset.y)
        for k in range(y.shape[1]):
            row("target" if y.shape[1] == 1 else f"target {k + 1}", "number", targets, k, y)
    return table


def _first(x: Array | Stored) -> Array:
    """The first examples `(m, columns)`."""
    import numpy as np

    m = min(EXAMPLES, len(x))
    rows = x[:m] if isinstance(x, np.ndarray) else x.read(0, m)
    return rows.reshape(m, -1)


def _image(source: Source, dataset: Dataset) -> tuple[int, ...]:
    """The shape of an image; empty where examples are none that can be drawn."""
    from nnlab.data.sources.named import Named

    shape = source.facts.shape if isinstance(source, Named) else tuple(dataset.x.shape[1:])
    return shape if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)) else ()


def _draw(dataset: Dataset, shape: tuple[int, ...], path: Path) -> None:
    """Some images, drawn from all of them, with their classes."""
    import numpy as np

    from nnlab.data.view import scattered
    from nnlab.plots.curves import save
    from nnlab.plots.examples import sheet

    n = len(dataset.y)
    rows = np.sort(np.random.default_rng(0).choice(n, min(PICTURED, n), replace=False))
    x = dataset.x
    images = x[rows] if isinstance(x, np.ndarray) else scattered(x, rows)
    if dataset.classes:
        titles = [dataset.classes[label] for label in dataset.y[rows]]
    else:
        titles = [f"{value:g}" for value in dataset.y[rows, 0]]
    try:
        save(sheet(images.reshape(-1, *shape), titles), path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error} (--picture)") from error
