"""Tables of numbers and text as arrays: read in chunks, twice, so that memory does not grow with the file.

The first reading learns what is in the columns and refuses what cannot be learned from; the second fills the arrays.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from chainrule import random
from chainrule.cli.common import CommandError

Array = np.ndarray[Any, np.dtype[Any]]
ROWS = 200_000  # of one chunk
IN_MEMORY = 1 << 26  # bytes; larger arrays are kept in files
MOST_CATEGORIES = 100  # in a column of text
MOST_CLASSES = 1000
FEW = 20  # whole numbers in a target that are taken for classes, not for amounts


@dataclass(frozen=True)
class Wanted:
    """What is to be read: the file, the column to predict, and how to treat what is no number."""

    path: Path
    target: str
    encode: bool = False
    impute: bool = False
    drop: tuple[str, ...] = ()
    classes: bool | None = None  # is the target a class? None: look at it


@dataclass
class Column:
    """What the first reading has learned of a column."""

    name: str
    kinds: set[str] = field(default_factory=set[str])
    missing: int = 0
    infinite: int = 0
    values: set[Any] = field(default_factory=set[Any])
    example: Any = None
    whole: bool = True

    def see(self, part: Any, most: int) -> None:
        """Take notice of a part of the column."""
        import pandas as pd

        gaps = int(part.isna().sum())
        self.missing += gaps
        if gaps == len(part):
            return
        if pd.api.types.is_bool_dtype(part) or pd.api.types.is_numeric_dtype(part):
            self.kinds.add("number")
            numbers = part.to_numpy(np.float64, na_value=np.nan)
            self.infinite += int(np.isinf(numbers).sum())
            self.whole = self.whole and bool(np.all(np.isnan(numbers) | (numbers == np.floor(numbers))))
            found: Any = np.unique(numbers[np.isfinite(numbers)]) if len(self.values) <= most else ()
        else:
            self.kinds.add("text")
            words = part.dropna()
            self.example = self.example if self.example is not None and not _number(self.example) else _word(words)
            found = words.astype(str).unique() if len(self.values) <= most else ()
        self.values.update(found[: most + 1])

    @property
    def text(self) -> bool:
        """Is it a column of words?"""
        return "text" in self.kinds


@dataclass(frozen=True)
class Survey:
    """What the first reading has learned of the table."""

    rows: int
    features: list[Column]
    target: Column
    classes: list[Any] | None

    @property
    def names(self) -> list[str]:
        """A name for each number that describes a row."""
        return [name for c in self.features for name in ([f"{c.name}={v}" for v in categories(c)] if c.text else [c.name])]


def categories(c: Column) -> list[str]:
    """The values of a column of text, in order; a gap is a value of its own."""
    return [*sorted(c.values), *["(missing)"] * (c.missing > 0)]


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _word(words: Any) -> str:
    """The first text that is no number, as that is what keeps a column from being one."""
    return next((w for w in map(str, words) if not _number(w)), str(words.iloc[0]))


# --- chunks -----------------------------------------------------------------------------------------------------------------


def chunks(path: Path) -> Iterator[Any]:
    """The table, some rows at a time.

    Raises:
        CommandError: it cannot be read.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        yield from _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    except pd.errors.EmptyDataError:
        raise CommandError(f"{path} is empty") from None
    except pd.errors.ParserError as e:
        raise CommandError(f"{path} is no table: {str(e).split('C error: ')[-1].strip()}") from None
    except UnicodeDecodeError as e:
        raise CommandError(f"{path} is no text in UTF-8 (byte {e.start}); save it as CSV in UTF-8, or as Parquet") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        raise CommandError(f"{path} is no Parquet file: {str(e).splitlines()[0]}") from None
    except OSError as e:
        raise CommandError(f"cannot read {path}: {e.strerror or e}") from None


def _csv(path: Path) -> Iterator[Any]:
    import pandas as pd

    with path.open(encoding="utf-8-sig") as f:
        head = f.readline()
    if "\0" in head:
        raise CommandError(f"{path} is no text: it begins with binary data")
    separator = max(",;\t", key=re.sub(r'"[^"]*"', "", head).count)
    _once(path, next(csv.reader([head], delimiter=separator, skipinitialspace=True), []))
    with pd.read_csv(path, chunksize=ROWS, sep=separator, skipinitialspace=True, encoding="utf-8-sig", low_memory=False) as found:
        yield from found


def _parquet(path: Path) -> Iterator[Any]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    _once(path, file.schema_arrow.names)
    for batch in file.iter_batches(ROWS):
        yield _plain_numbers(batch).to_pandas()


def _plain_numbers(batch: Any) -> Any:
    """Decimal numbers as floating-point ones."""
    import pyarrow as pa

    for k, f in enumerate(batch.schema):
        if pa.types.is_decimal(f.type):
            batch = batch.set_column(k, f.name, batch.column(k).cast(pa.float64()))
    return batch


def _once(path: Path, names: list[str]) -> None:
    """Raise if two columns have one name: which of them is meant?"""
    twice = sorted({n for n in names if n and names.count(n) > 1})
    if twice:
        raise CommandError(f"{path} has more than one column called {', '.join(twice)}: rename or remove all but one")


# --- the first reading ---------------------------------------------------------------------------------------------------------


def survey(w: Wanted) -> Survey:
    """Read the table once; raise if it cannot be learned from.

    Raises:
        CommandError: saying what is wrong, where, and what to do about it.
    """
    if not w.path.is_file():
        raise CommandError(f"{w.path} is a folder, not a file" if w.path.is_dir() else f"there is no file {w.path}")
    if w.path.stat().st_size == 0:
        raise CommandError(f"{w.path} is empty")
    rows, columns = 0, dict[str, Column]()
    for part in chunks(w.path):
        if not columns:
            columns = {str(name): Column(str(name)) for name in part.columns}
            _named(w, list(columns))
        part.columns = [str(name) for name in part.columns]
        for name, column in columns.items():
            if name not in w.drop:
                column.see(part[name], MOST_CLASSES if name == w.target else MOST_CATEGORIES)
        rows += len(part)
    if rows == 0:
        raise CommandError(f"{w.path} has no rows" + (" below its header" if w.path.suffix.lower() == ".csv" else ""))
    features = [c for name, c in columns.items() if name != w.target and name not in w.drop]
    target = columns[w.target]
    _learnable(w, features, target, rows)
    return Survey(rows, features, target, _classes(w, target))


def _named(w: Wanted, names: list[str]) -> None:
    """Raise unless the columns that are asked for are there."""
    for what, name in (("--target", w.target), *(("--drop", d) for d in w.drop)):
        if name not in names:
            close = difflib.get_close_matches(name, names, 3, 0.5) or difflib.get_close_matches(name.lower(), names, 3, 0.4)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names[:20])}"
            raise CommandError(f"{what}: {w.path} has no column {name!r}; {hint}")
    if not set(names) - {w.target, *w.drop}:
        raise CommandError(f"{w.path} has no column besides the target {w.target!r}, so there is nothing to predict it from")


def _learnable(w: Wanted, features: list[Column], target: Column, rows: int) -> None:
    mixed = [c for c in (*features, target) if len(c.kinds) > 1]
    if mixed:
        what = ", ".join(f"{c.name} (such as {c.example!r})" for c in mixed)
        raise CommandError(f"these columns hold both numbers and text: {what}. Clean them, or leave them out with --drop")
    if target.missing:
        raise CommandError(f"the target {target.name} is missing in {target.missing} of {rows} rows: remove these rows first")
    endless = [f"{c.name} ({c.infinite})" for c in (*features, target) if c.infinite]
    if endless:
        raise CommandError(f"these columns hold infinite numbers: {', '.join(endless)}")
    empty = [c.name for c in features if c.missing == rows]
    if empty:
        raise CommandError(f"these columns are empty: {', '.join(empty)}. Leave them out with --drop")
    texts = [c for c in features if c.text]
    if texts and not w.encode:
        what = ", ".join(f"{c.name} (such as {c.example!r})" for c in texts)
        comma = all(re.fullmatch(r"[-+]?\d+,\d+", c.example) for c in texts)
        cure = (
            "These are numbers with a comma: write them with a point or none" if comma else "Turn them into numbers with --encode"
        )
        raise CommandError(f"these columns hold text: {what}. {cure}, or leave them out with --drop")
    many = [c.name for c in texts if len(c.values) > MOST_CATEGORIES]
    if many:
        raise CommandError(
            f"--encode: more than {MOST_CATEGORIES} different texts in {', '.join(many)}. Leave it out with --drop"
        )
    gaps = [f"{c.name} ({c.missing} of {rows})" for c in features if c.missing and not c.text]
    if gaps and not w.impute:
        raise CommandError(
            f"values are missing in {', '.join(gaps)}. Fill them with --impute mean, or leave them out with --drop"
        )


def _classes(w: Wanted, target: Column) -> list[Any] | None:
    """The classes of the target, None if it is an amount."""
    looks = target.text or (target.whole and len(target.values) <= FEW)
    if w.classes is False and target.text:
        raise CommandError(
            f"the target {target.name} is text (such as {target.example!r}), and this model predicts numbers: see --model"
        )
    if len(target.values) < 2:
        only = next(iter(target.values))
        raise CommandError(f"the target {target.name} has one value only, {_plain(only)!r}: there is nothing to tell apart")
    if not (looks if w.classes is None else w.classes):
        return None
    if not (target.text or target.whole):
        part = next(v for v in sorted(target.values) if v != int(v))
        raise CommandError(
            f"the target {target.name} holds numbers that are not whole (such as {part:g}), so they are amounts, not classes. "
            "For amounts: --model linear or mlp"
        )
    if len(target.values) > MOST_CLASSES:
        raise CommandError(
            f"the target {target.name} has too many different values to be a class. For amounts: --model linear or mlp"
        )
    return [_plain(v) for v in sorted(target.values)]


def _plain(x: Any) -> Any:
    """A value as people write it."""
    return int(x) if isinstance(x, float | np.floating) and x == int(x) else x.item() if isinstance(x, np.generic) else x


# --- the second reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Rows to train on, or to test with: x of shape (rows, features), y of shape (rows,)."""

    x: Array
    y: Array


def fill(w: Wanted, s: Survey, part: float, key: Any, folder: Path) -> tuple[Part, Part]:
    """Rows to train on and rows to test with, drawn at random; large ones as files in `folder`."""
    tests = round(s.rows * part)
    if not 0 < tests < s.rows:
        raise CommandError(f"{s.rows} rows with --test-size {part:g} leave none to {'test with' if tests == 0 else 'train on'}")
    train, test = _empty(s, s.rows - tests, folder / "train"), _empty(s, tests, folder / "test")
    seen = taken = kept = 0
    for k, chunk in enumerate(chunks(w.path)):
        chunk.columns = [str(name) for name in chunk.columns]
        seen += len(chunk)
        count = tests if seen == s.rows else round(seen * part)
        apart = np.zeros(len(chunk), bool)
        apart[random.permutation(random.fold_in(key, k), len(chunk))[: max(0, min(len(chunk), count - taken))]] = True
        x, y = _numbers(s, chunk), _target(s, chunk)
        test.x[taken : taken + apart.sum()], test.y[taken : taken + apart.sum()] = x[apart], y[apart]
        train.x[kept : kept + (~apart).sum()], train.y[kept : kept + (~apart).sum()] = x[~apart], y[~apart]
        taken, kept = taken + int(apart.sum()), kept + int((~apart).sum())
    return train, test


def whole(w: Wanted) -> tuple[Survey, Part]:
    """All rows in memory, each gap filled with the mean of its column; without a target, the last column is it."""
    w = w if w.target else replace(w, target=_last(w))
    s = survey(w)
    found = list[tuple[Array, Array]]()
    for chunk in chunks(w.path):
        chunk.columns = [str(name) for name in chunk.columns]
        found.append((_numbers(s, chunk), _target(s, chunk)))
    x, y = (np.concatenate(part) for part in zip(*found, strict=True))
    return s, Part(np.where(np.isnan(x), moments(x)[0], x), y)


def _last(w: Wanted) -> str:
    if not w.path.is_file():
        return ""  # the survey says what is wrong with it
    return str(next(iter(chunks(w.path))).columns[-1])


def _empty(s: Survey, rows: int, path: Path) -> Part:
    shape, dtype = (rows, len(s.names)), np.float64 if s.classes is None else np.int64
    if rows * shape[1] * 8 <= IN_MEMORY:
        return Part(np.empty(shape), np.empty(rows, dtype))
    path.parent.mkdir(parents=True, exist_ok=True)
    return Part(np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.float64, shape), np.empty(rows, dtype))


def _numbers(s: Survey, chunk: Any) -> Array:
    """The features of a chunk; gaps are NaN."""
    return np.concatenate([encoded(c.name, categories(c) if c.text else None, chunk) for c in s.features], axis=1)


def encoded(name: str, values: list[str] | None, chunk: Any) -> Array:
    """A column as numbers: itself, or one column of zeros and ones for each of the values it may have."""
    column = chunk[name]
    if values is None:
        return column.to_numpy(np.float64, na_value=np.nan)[:, None]
    words = np.where(column.isna(), "(missing)", column.astype(str).to_numpy(object))
    return (words[:, None] == np.array(values, object)).astype(np.float64)


def _target(s: Survey, chunk: Any) -> Array:
    column = chunk[s.target.name]
    if s.classes is None:
        return column.to_numpy(np.float64)
    known = sorted(s.target.values)
    values = column.astype(str).to_numpy(object) if s.target.text else column.to_numpy(np.float64)
    return np.searchsorted(np.array(known, object if s.target.text else np.float64), values)


# --- one scale for all ------------------------------------------------------------------------------------------------------


def pieces(a: Array, rows: int = 1 << 16) -> Iterator[Any]:
    """Views of some rows at a time."""
    return (a[k : k + rows] for k in range(0, len(a), rows))


def moments(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of the columns without their gaps; the deviation of a constant column counts as 1."""
    counts = sum(np.sum(~np.isnan(p), axis=0) for p in pieces(x))
    mean = sum(np.nansum(p, axis=0) for p in pieces(x)) / np.maximum(counts, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        square = sum(np.nansum((p - mean) ** 2, axis=0) for p in pieces(x)) / np.maximum(counts, 1)
    size = np.sqrt(square)
    if not np.isfinite(size).all():
        raise CommandError("numbers of more than about 1e150 have no variance in double precision: scale these columns down")
    return mean, np.where(size <= 1e-12 * np.abs(mean), 1.0, size)


def standardise(x: Array, mean: Array, size: Array) -> None:
    """Bring the columns to one scale, where they are; a gap becomes the mean, 0."""
    for p in pieces(x):
        p[...] = np.nan_to_num((p - mean) / size, nan=0.0)
