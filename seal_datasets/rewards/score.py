"""Add the rewards that models give to both responses of every pair, on one process or many, for tables of any size.

The table is processed in windows of rows. Each process scores about the same number of tokens of a window; then the processes
exchange their rewards. The next window is encoded in the meantime. Only rewards stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from datasets import Dataset, Features, IterableDataset, Value
from datasets.utils import tqdm

from seal_datasets import schema
from seal_datasets.data.texts import Exchange, exchange
from seal_datasets.data.transform import Batch, Pairs, add_columns, map_batches
from seal_datasets.errors import DataError
from seal_datasets.rewards.batching import equal_shares
from seal_datasets.rewards.dealt import DealtFiles
from seal_datasets.rewards.encoding import Encoded
from seal_datasets.rewards.loading import processes
from seal_datasets.rewards.part_files import PartFiles
from seal_datasets.rewards.read_once import read_once
from seal_datasets.rewards.score_store import ScoreStore
from seal_datasets.rewards.scorer import Scored, Scorer, outcomes

_WINDOW_ROWS = 2048
_TEXT_COLUMNS = (
    schema.PROMPT,
    schema.CONVERSATION,
    schema.REJECTED_PROMPT,
    schema.REJECTED_CONVERSATION,
    *schema.SIDES,
)


def add_rewards(
    pairs: Pairs, models: Mapping[str, Scorer], *, store: ScoreStore | None = None, window: int = _WINDOW_ROWS
) -> Pairs:
    """Add the reward of both responses of every pair, under several models in one pass.

    Under `accelerate launch` each process scores its share of a table and all end with the whole table, in order.

    Args:
        pairs (`Dataset` or `IterableDataset`): Canonical pairs from `load_pairs`.
        models (`Mapping[str, Scorer]`): The models by the short name of their columns, e.g. `{"pre": ..., "post": ...}`; those
            that encode texts alike share the encoding.
        store (`ScoreStore`, *optional*): Store of rewards, so that an interrupted run resumes.
        window (`int`, defaults to 2048): Rows within which texts are sorted by length.

    Returns:
        `Dataset` or `IterableDataset`: The pairs with `reward_<name>_<side>` (float32, raw logit, null where there is
        none), `reward_status_<name>_<side>` and `reward_tokens_<name>_<side>`.

    Raises:
        DataError: A name is not an identifier, or a text is too long under the `"error"` policy.
    """
    types = Features({column: kind for name in models for column, kind in reward_columns(name).items()})
    if isinstance(pairs, IterableDataset):
        provenance = {name: model.provenance() for name, model in models.items()}
        return map_batches(
            pairs,
            lambda batch: next(_score_windows([batch], models, store, int)),
            new_columns=types,
            provenance=provenance,
            batch_size=window,
            desc="Rewards",
        )
    columns: Batch = {column: [] for column in types}
    rows = pairs.select_columns([column for column in _TEXT_COLUMNS if column in pairs.column_names]).iter(window)
    with _progress(2 * len(pairs) * len(models)) as bar:
        for scored in _score_windows(rows, models, store, bar.update):
            for column, values in scored.items():
                columns[column] += values
    return add_columns(pairs, columns, types)


def write_rewards(
    pairs: Dataset | IterableDataset,
    models: Mapping[str, Scorer],
    out: str | Path,
    *,
    store: ScoreStore | None = None,
    window: int = _WINDOW_ROWS,
    rows_per_file: int = 100_000,
    dealt: bool = False,
) -> list[Path]:
    """Score a table or stream of any length into Parquet files of a folder, holding one window of rows at a time.

    Under `accelerate launch` each process scores its share of every window and the main process writes. A stream is read by
    the main process only, which sends its texts to the others, unless it is dealt: then each process reads, scores and writes
    rows of its own.

    Args:
        pairs (`Dataset` or `IterableDataset`): Canonical pairs from `load_pairs`, also with `streaming=True`.
        models (`Mapping[str, Scorer]`): As for `add_rewards`.
        out (`str` or `Path`): Folder; files are `part-00000.parquet` and so on, each present once it is complete. Those
            of an earlier run are replaced when all new ones are complete.
        store (`ScoreStore`, *optional*): As for `add_rewards`.
        window (`int`, defaults to 2048): As for `add_rewards`.
        rows_per_file (`int`, defaults to 100,000): Approximate rows of a file; files end with a window.
        dealt (`bool`, defaults to `False`): Whether the stream holds the rows of this process only, and those of the next
            process follow on them: `load_pairs(..., streaming=(index, n))`. All processes must see the folder.

    Returns:
        `list[Path]`: The files, in the order of the rows.

    Raises:
        DataError: As for `add_rewards`, the folder holds Parquet files that this function did not write, or the disk is full.
    """
    out = Path(out)
    types = Features({column: kind for name in models for column, kind in reward_columns(name).items()})
    names = [name for name in pairs.features or {} if name not in types]
    features = Features({**{name: pairs.features[name] for name in names}, **types})
    main = processes().is_main_process or dealt
    files: PartFiles | DealtFiles | None = None
    if main:
        files = (DealtFiles if dealt else PartFiles)(out, features, rows_per_file)
    whole: list[Batch] = []

    def rows() -> Iterator[Batch]:
        for batch in pairs.iter(window):
            if main:
                whole.append(batch)
            yield {name: batch[name] for name in _TEXT_COLUMNS if name in batch}

    # A table lies on every process's disk or memory; a stream is fetched.
    windows = read_once(rows()) if isinstance(pairs, IterableDataset) and not dealt else rows()
    n_texts = 2 * len(pairs) * len(models) if isinstance(pairs, Dataset) else None
    with _progress(n_texts) as bar:
        for scored in _score_windows(windows, models, store, bar.update, alone=dealt):
            if files is not None:
                batch = whole.pop(0)
                files.write({**{name: batch[name] for name in names}, **scored})
    return files.close() if files is not None else sorted(out.glob("part-*.parquet"))


def reward_columns(name: str) -> Features:
    """Columns and types that `add_rewards` adds under a model's short name.

    Raises:
        DataError: The name cannot be part of a column's.
    """
    if not name.isidentifier():
        raise DataError(f"a model's column name must be made of letters, digits and '_', got {name!r}")
    columns: dict[str, Any] = {}
    for side in schema.SIDES:
        columns[schema.reward_column(name, side)] = Value("float32")
        columns[schema.reward_status_column(name, side)] = Value("string")
        columns[schema.reward_tokens_column(name, side)] = Value("int32")
    return Features(columns)


def _progress(n_texts: int | None) -> tqdm:
    return tqdm(total=n_texts, desc="Rewards", unit="text", disable=not processes().is_main_process)


def _score_windows(
    windows: Iterable[Batch],
    models: Mapping[str, Scorer],
    store: ScoreStore | None,
    progress: Callable[[int], object],
    *,
    alone: bool = False,
) -> Iterator[Batch]:
    """Yield the reward columns of each window; the next window is encoded in the meantime."""
    remaining, n_sharing = iter(windows), 1 if alone else processes().num_processes
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(_encode_next, remaining, models, n_sharing)
        while (window := coming.result()) is not None:
            coming = ahead.submit(_encode_next, remaining, models, n_sharing)
            columns: Batch = {}
            for name, model in models.items():
                rewards = window.score(model, store, progress)
                for side in schema.SIDES:
                    scored = [rewards.get((row, side), _NO_TEXT) for row in range(window.n_rows)]
                    columns[schema.reward_column(name, side)] = [outcome.reward for outcome in scored]
                    columns[schema.reward_status_column(name, side)] = [outcome.status for outcome in scored]
                    columns[schema.reward_tokens_column(name, side)] = [outcome.n_tokens for outcome in scored]
            yield columns


_NO_TEXT = Scored(None, "no_text", None)


class _Window:
    """The texts of some rows, and this process's part of them encoded; `n_sharing` processes share them."""

    def __init__(self, batch: Batch, models: Mapping[str, Scorer], n_sharing: int) -> None:
        self.n_sharing = n_sharing
        self.n_rows = len(batch[schema.CHOSEN])
        needed = {name: batch[name] for name in _TEXT_COLUMNS if name in batch}
        rows = [dict(zip(needed, values, strict=True)) for values in zip(*needed.values(), strict=True)]
        texts = {(index, side): exchange(row, side) for index, row in enumerate(rows) for side in schema.SIDES}
        self.texts = {where: text for where, text in texts.items() if text is not None}
        size = -(-len(self.texts) // n_sharing)
        self.start = processes().process_index * size if n_sharing > 1 else 0
        mine = list(self.texts.values())[self.start : self.start + size]
        encoders: dict[str, Scorer] = {}
        for model in models.values():
            encoders.setdefault(model.encoding, model)
        self.encoded = {encoding: model.encode(mine) for encoding, model in encoders.items()}

    def score(
        self, model: Scorer, store: ScoreStore | None, progress: Callable[[int], object]
    ) -> dict[tuple[int, schema.Side], Scored]:
        """Score this process's share, and gather the rewards of the other processes."""
        encoded = self.encoded[model.encoding]
        if self.n_sharing == 1:
            rewards = model.reward_by_key(encoded, store=store, progress=progress)
            progress(len(encoded) - len(rewards))  # duplicates, and texts without a reward
            return dict(zip(self.texts, outcomes(encoded, rewards), strict=True))
        texts = list(self.texts.values())
        about = gather_object([(text.key, text.status, text.n_tokens, bool(text.inputs)) for text in encoded])
        sizes = [n_tokens if has_inputs else 0 for _, _, n_tokens, has_inputs in about]
        owners = equal_shares(sizes, [text.prompt for text in texts], processes().num_processes)
        ours = [index for index, owner in enumerate(owners) if owner == processes().process_index]
        share = self._encoded(ours, encoded, model, texts)
        scored = outcomes(share, model.reward_by_key(share, store=store))
        everything = dict(gather_object(list(zip(ours, scored, strict=True))))
        progress(len(everything))
        return {where: everything[index] for index, where in enumerate(self.texts)}

    def _encoded(self, ours: list[int], known: list[Encoded], model: Scorer, texts: list[Exchange]) -> list[Encoded]:
        """Encode the texts of this process's share that another process has encoded."""
        foreign = [index for index in ours if not self.start <= index < self.start + len(known)]
        fresh = dict(zip(foreign, model.encode([texts[index] for index in foreign]), strict=True))
        return [fresh[index] if index in fresh else known[index - self.start] for index in ours]


def _encode_next(windows: Iterator[Batch], models: Mapping[str, Scorer], n_sharing: int) -> _Window | None:
    batch = next(windows, None)
    return None if batch is None else _Window(batch, models, n_sharing)
