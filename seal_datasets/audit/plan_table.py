"""The steps of a plan that need no model: load, surface features and report, each timed on a part of the table."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.audit.endpoint import print_progress
from seal_datasets.audit.finish import finish_audit
from seal_datasets.audit.planned import PlannedStep, sample_rows
from seal_datasets.data.demo import DEMO_NAME, demo_path
from seal_datasets.data.diagnosis import Diagnosis
from seal_datasets.data.load import load_pairs
from seal_datasets.data.transform import add_columns
from seal_datasets.errors import DataError
from seal_datasets.escape import shareable
from seal_datasets.labels.featurize import add_surface_features
from seal_datasets.labels.taxonomy import Feature, Taxonomy
from seal_datasets.report.analyze import analyze, derived_columns
from seal_datasets.report.audited_models import AuditedModels
from seal_datasets.report.files import PAIRS_FILE, refuse_other_audit
from seal_datasets.rewards.precomputed import RewardColumns, add_own_rewards

_SAMPLE_PAIRS = 4000


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """The pairs of a plan.

    Attributes:
        pairs (`Dataset`): Canonical pairs.
        diagnosis (`Diagnosis`): Of the whole table.
        step (`PlannedStep`): What loading took.
        sample (`Dataset`): Some of the pairs at equal distances, in memory, with surface features.
        surface_step (`PlannedStep`): What surface features of all pairs will take.
    """

    pairs: Dataset
    diagnosis: Diagnosis
    step: PlannedStep
    sample: Dataset
    surface_step: PlannedStep


def load_table(source: str | Dataset, out: Path, *, split: str | None, limit: int | None, seed: int) -> LoadedTable:
    """Load the pairs of an audit, and time loading and surface features.

    Args:
        source (`str` or `Dataset`): As for `run_audit`.
        out (`Path`): Folder of the report; it is refused if it holds another audit, and not written to.
        split (`str`, *optional*): Split of a source with several.
        limit (`int`, *optional*): Rows to take.
        seed (`int`): Seed of that draw.

    Returns:
        `LoadedTable`: Pairs, diagnosis and two rows of the plan.

    Raises:
        DataError: The source cannot be read or is a stream, or the folder holds another audit.
    """
    print_progress("Loading pairs")
    start = time.perf_counter()
    data = str(demo_path()) if isinstance(source, str) and source == "demo" else source
    pairs, diagnosis = load_pairs(data, split=split, limit=limit, seed=seed)
    taken = time.perf_counter() - start
    if not isinstance(pairs, Dataset):
        raise DataError("the source is a stream; an audit needs a whole table")
    diagnosis = replace(diagnosis, source=shareable(DEMO_NAME if data is not source else diagnosis.source))
    refuse_other_audit(out, diagnosis.source)
    print_progress(str(diagnosis))
    size = round(pairs.data.nbytes * len(pairs) / max(1, len(pairs.data)))
    step = PlannedStep("load", pairs=len(pairs), seconds=taken, memory=size)
    sample, seconds = _with_surface_features(pairs)
    scale = len(pairs) / max(1, len(sample))
    texts = pairs.select_columns(list(schema.SIDES)).with_format("arrow")[:]
    n_texts = sum(len(pairs) - texts.column(side).null_count for side in schema.SIDES)
    surface = PlannedStep(
        "surface features",
        pairs=len(pairs),
        texts=n_texts,
        seconds=seconds * scale,
        notes=(f"{2 * len(sample):,} texts took {seconds:.1f} s",),
    )
    return LoadedTable(pairs, diagnosis, step, sample, surface)


def _with_surface_features(pairs: Dataset) -> tuple[Dataset, float]:
    """Surface features of a sample, and the seconds they took; a table in memory has no cache that would answer."""
    sample = Dataset.from_dict(pairs.select(sample_rows(len(pairs), _SAMPLE_PAIRS))[:], features=pairs.features)
    start = time.perf_counter()
    sample = add_surface_features(sample)
    return sample, time.perf_counter() - start


def plan_report(
    table: LoadedTable,
    features: Sequence[Feature],
    models: AuditedModels,
    given: RewardColumns,
    *,
    notes: tuple[str, ...],
) -> PlannedStep:
    """Plan estimates and report: those of a sample are made and thrown away, with noise for rewards that do not exist yet.

    Args:
        table (`LoadedTable`): From `load_table`.
        features (`Sequence[Feature]`): Features that the sample has.
        models (`AuditedModels`): All models.
        given (`RewardColumns`): Models whose rewards the table has.
        notes (`tuple[str, ...]`): What the sample lacks.

    Returns:
        `PlannedStep`: The row of the plan.

    Raises:
        DataError: A column of given rewards is missing or does not hold numbers.
    """
    print_progress("Measuring: the report")
    sample = add_own_rewards(_with_noise(table.sample, [name for name in models.names if name not in given]), given)
    records: dict[str, Any] = {name: {"model": name, "revision": name} for name in models.names}
    about = {"models": records, "baseline": models.baseline, "training": None, "labeler": None, "rewrites": None}
    taxonomy = Taxonomy("plan", "0", tuple(features))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        finish_audit(sample, table.diagnosis, taxonomy, features, Path(folder), {**about, "settings": {}}, "")
        whole = time.perf_counter() - start
        size = (Path(folder) / PAIRS_FILE).stat().st_size
        others = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) - size
    more = len(table.pairs) - len(sample)
    per_pair = _estimates_alone(sample, features, models) / max(1, len(sample)) if more else 0.0
    of = f"{len(sample):,} of its pairs" if more else "its pairs"
    return PlannedStep(
        "report",
        pairs=len(table.pairs),
        seconds=whole + more * per_pair,
        disk=round(size * len(table.pairs) / max(1, len(sample))) + others,
        notes=(f"made of {of} in {whole:.1f} s", *notes),
    )


def _estimates_alone(sample: Dataset, features: Sequence[Feature], models: AuditedModels) -> float:
    """Seconds of what grows with the table: figures and pages do not."""
    start = time.perf_counter()
    derived_columns(sample, features, models, tie_band=0.0)
    analyze(sample, features, models, tie_band=0.0)
    return time.perf_counter() - start


def _with_noise(sample: Dataset, names: Sequence[str]) -> Dataset:
    """Rewards without meaning under the names of models."""
    rng = np.random.default_rng(0)
    columns: dict[str, Sequence[object]] = {}
    types: dict[str, Value] = {}
    for name in names:
        for side in schema.SIDES:
            given = [text is not None for text in sample[side]]
            noise = rng.normal(size=len(sample)).tolist()
            reward, status = schema.reward_column(name, side), schema.reward_status_column(name, side)
            columns[reward] = [value if has_text else None for value, has_text in zip(noise, given, strict=True)]
            columns[status] = ["ok" if has_text else "no_text" for has_text in given]
            types |= {reward: Value("float32"), status: Value("string")}
    return add_columns(sample, columns, Features(types)) if names else sample
