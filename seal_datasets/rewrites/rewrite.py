"""Add rewrites of a share of the pairs as columns.

`rewritten_pairs` makes a table of pairs from these columns. So any transform that labels or scores pairs also labels or scores
rewrites: `on_rewrites` runs it and adds its columns to the originals.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.data.texts import Text, known_ids, pair_text
from seal_datasets.data.transform import Batch, add_columns, map_batches
from seal_datasets.endpoints.requests import Plan
from seal_datasets.errors import DataError
from seal_datasets.rewrites.check import Rewrite
from seal_datasets.rewrites.presets import PRESETS, Preset
from seal_datasets.rewrites.rewriter import REWRITE_VERSION, Rewriter
from seal_datasets.rewrites.sample import AXES, attribute_of, sample_pairs
from seal_datasets.rewrites.similarity import SimilarityModel

MIN_SIMILARITY = 0.8

NOT_SAMPLED = "not_sampled"
_NOT_REWRITTEN = "first_rewrite_refused"


_PresetOf = Callable[[str, schema.Side], Preset | None]
"""How to rewrite the text of a pair id and side; `None` leaves it as it is."""


@dataclass(frozen=True, slots=True)
class _RewriteColumn:
    """Rewrites to add under one name.

    Attributes:
        name (`str`): A preset, an axis, or an axis with `_back`.
        preset_of (`Callable`): How to rewrite each text.
        of (`str`, *optional*): Name of the rewrites to rewrite again; the originals when omitted.
    """

    name: str
    preset_of: _PresetOf
    of: str | None = None

    def wanted(
        self, batch: Mapping[str, Sequence[object]], row: int, side: schema.Side
    ) -> tuple[Text | str, Preset | None]:
        """The text to rewrite and how, or the status that says why there is none."""
        preset = self.preset_of(str(batch[schema.PAIR_ID][row]), side)
        if preset is None:
            return NOT_SAMPLED, None
        text = pair_text(dict(batch), row, side)  # type: ignore[arg-type]
        if not isinstance(text, Text):
            return text[0], None
        if self.of is None:
            return text, preset
        if batch[schema.rewrite_status_column(self.of, side)][row] != "ok":
            return _NOT_REWRITTEN, None
        prompt = batch[schema.rewrite_prompt_column(self.of, side)][row]
        response = batch[schema.rewrite_column(self.of, side)][row]
        return Text(str(text.prompt if prompt is None else prompt), str(response)), preset


def add_rewrites(
    pairs: Dataset,
    rewriter: Rewriter,
    preset: str = "style",
    *,
    similarity: SimilarityModel,
    min_similarity: float = MIN_SIMILARITY,
    pair_ids: Collection[str] | None = None,
) -> Dataset:
    """Add rewrites of both responses of a share of the pairs.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`.
        rewriter (`Rewriter`): The model that rewrites.
        preset (`str`, defaults to `"style"`): How to rewrite, one of `PRESETS`.
        similarity (`SimilarityModel`): Compares each rewrite with its original.
        min_similarity (`float`, defaults to 0.8): Threshold of the cosine; less similar rewrites are rejected.
        pair_ids (`Collection[str]`, *optional*): The pairs to rewrite, e.g. from `sample_pairs(pairs, 0.05)`; 1 % of the
            pairs, drawn by `sample_pairs(pairs)`, when omitted.

    Returns:
        `Dataset`: The pairs with `rewrite_<preset>_<side>`, `rewrite_prompt_<preset>_<side>`, `rewrite_status_<preset>_<side>`
        (`ok`, or the reason why a rewrite is missing), `rewrite_detail_...` and `rewrite_similarity_...`.

    Raises:
        DataError: The preset or a pair id is not known.
        LabelerError: The endpoint is down or refuses to work; what was answered so far is in the store.

    Source: SEAL, section 2.3 (robustness scores) and appendix C.5.
    """
    known = _preset(preset)
    sampled = frozenset(known_ids(pairs, pair_ids) if pair_ids is not None else sample_pairs(pairs))
    column = _RewriteColumn(preset, _of_sampled(known, sampled))
    return _add(pairs, rewriter, column, similarity, min_similarity)


def add_round_trips(
    pairs: Dataset,
    rewriter: Rewriter,
    axis: str,
    *,
    similarity: SimilarityModel,
    min_similarity: float = MIN_SIMILARITY,
    pair_ids: Collection[str] | None = None,
) -> Dataset:
    """Add rewrites of an attribute to its other value, and of those rewrites back again.

    A text with the attribute loses it and regains it; a text without it gains and loses it. Both rewrites share whatever else
    the rewriter changes, so the two can be compared where original and rewrite cannot.

    Args:
        pairs (`Dataset`): Canonical pairs with the column of the axis's feature.
        rewriter (`Rewriter`): The model that rewrites.
        axis (`str`): One of `AXES`.
        similarity (`SimilarityModel`): Compares each rewrite with the text it was made from.
        min_similarity (`float`, defaults to 0.8): Threshold of the cosine, for both rewrites.
        pair_ids (`Collection[str]`, *optional*): The pairs to rewrite, as for `add_rewrites`.

    Returns:
        `Dataset`: The pairs with the columns of `add_rewrites` under the axis's name and under `<axis>_back`, and
        `rewrite_attribute_<axis>_<side>`: whether the original has the attribute.

    Raises:
        DataError: The axis or a pair id is not known, or the feature's columns are missing.

    Source: Reber et al. (2024), arXiv 2410.11348 (RATE).
    """
    if axis not in AXES:
        raise DataError(f"there is no axis {axis!r}; choose one of {list(AXES)}")
    known = AXES[axis]
    gain, lose = PRESETS[known.gain], PRESETS[known.lose]
    ids = known_ids(pairs, pair_ids) if pair_ids is not None else sample_pairs(pairs)
    has = attribute_of(pairs, known, ids)
    columns = {
        schema.attribute_column(axis, side): [has.get((pair_id, side)) for pair_id in pairs[schema.PAIR_ID]]
        for side in schema.SIDES
    }
    pairs = add_columns(pairs, columns, Features({name: Value("bool") for name in columns}))

    def there(pair_id: str, side: schema.Side) -> Preset | None:
        value = has.get((pair_id, side))
        return None if value is None else (lose if value else gain)

    def back(pair_id: str, side: schema.Side) -> Preset | None:
        value = has.get((pair_id, side))
        return None if value is None else (gain if value else lose)

    pairs = _add(pairs, rewriter, _RewriteColumn(axis, there), similarity, min_similarity)
    return _add(pairs, rewriter, _RewriteColumn(schema.back(axis), back, of=axis), similarity, min_similarity)


def plan_rewrites(
    pairs: Dataset, rewriter: Rewriter, presets: Sequence[str], axes: Sequence[str], pair_ids: Collection[str]
) -> Plan:
    """Estimate what `add_rewrites` and `add_round_trips` would ask and cost, without asking anything.

    Args:
        pairs (`Dataset`): Canonical pairs.
        rewriter (`Rewriter`): With the store that may hold some answers already.
        presets (`Sequence[str]`): Rewrites to make.
        axes (`Sequence[str]`): Attributes to rewrite there and back; the way back is taken to be as long as the original.
        pair_ids (`Collection[str]`): The sampled pairs.

    Returns:
        `Plan`: Texts, requests, tokens and cost.
    """
    drawn = frozenset(pair_ids)
    ways = [_preset(name) for name in presets]
    ways += [PRESETS[name] for axis in axes for name in (AXES[axis].gain, AXES[axis].lose)]
    return rewriter.plan(
        (text, way) for way in ways for text, _ in _all_wanted(pairs, _RewriteColumn(way.name, _of_sampled(way, drawn)))
    )


def _add(
    pairs: Dataset, rewriter: Rewriter, column: _RewriteColumn, similarity: SimilarityModel, min_similarity: float
) -> Dataset:
    """Ask for all rewrites, then fill the columns from the store."""
    rewrites = rewriter.until_accepted(
        _all_wanted(pairs, column),
        check=lambda texts, results: _compared(texts, results, similarity, min_similarity),
        title=f"Rewriting ({column.name})",
    )

    def rewrite_batch(batch: Batch) -> Batch:
        columns: Batch = {name: [] for name in _columns(column.name)}
        for side in schema.SIDES:
            wanted = [column.wanted(batch, row, side) for row in range(len(batch[schema.PAIR_ID]))]
            for text, preset in wanted:
                rewrite = rewrites[text, preset] if isinstance(text, Text) and preset else Rewrite(None, str(text))
                columns[schema.rewrite_column(column.name, side)].append(rewrite.text and rewrite.text.response)
                prompt = rewrite.text.prompt if rewrite.text and rewriter.whole_dialogue else None
                columns[schema.rewrite_prompt_column(column.name, side)].append(prompt)
                columns[schema.rewrite_status_column(column.name, side)].append(rewrite.reason)
                columns[schema.rewrite_detail_column(column.name, side)].append(rewrite.detail)
                columns[schema.rewrite_similarity_column(column.name, side)].append(rewrite.similarity)
        return columns

    return map_batches(
        pairs,
        rewrite_batch,
        new_columns=_columns(column.name),
        provenance={"rewrite_version": REWRITE_VERSION},
        batch_size=256,
        desc=f"Checking rewrites ({column.name})",
        reuse_cache=False,
    )


def _compared(
    texts: Sequence[tuple[Text, Preset]], rewrites: Sequence[Rewrite], model: SimilarityModel, least: float
) -> list[Rewrite]:
    """Each rewrite with its likeness to the original; those that are too little alike are refused."""
    shown = [
        (index, text, rewrite.text)
        for index, ((text, _), rewrite) in enumerate(zip(texts, rewrites, strict=True))
        if rewrite.text is not None and rewrite.text.response.strip()
    ]
    found = list(rewrites)
    if shown:
        before = [_compared_text(original, original, rewrite) for _, original, rewrite in shown]
        after = [_compared_text(rewrite, original, rewrite) for _, original, rewrite in shown]
        for (index, _, _), alike in zip(shown, model.compare(before, after).tolist(), strict=True):
            found[index] = replace(found[index], similarity=alike)
            if found[index].reason == "ok" and alike < least:
                detail = f"cosine {alike:.3f} with the original is below {least:g}"
                found[index] = replace(found[index], reason="below_similarity", detail=detail)
    return found


def _compared_text(text: Text, original: Text, rewrite: Text) -> str:
    """What is compared: the response, or the whole dialogue where its prompt was rewritten too."""
    return text.response if original.prompt == rewrite.prompt else text.prompt + text.response


def _all_wanted(pairs: Dataset, column: _RewriteColumn) -> Iterator[tuple[Text, Preset]]:
    for batch in pairs.iter(1000):
        for row in range(len(batch[schema.PAIR_ID])):
            for side in schema.SIDES:
                text, preset = column.wanted(batch, row, side)
                if isinstance(text, Text) and preset:
                    yield text, preset


def _of_sampled(preset: Preset, pair_ids: frozenset[str]) -> _PresetOf:
    """Rewrite both texts of sampled pairs by one preset."""
    return lambda pair_id, _: preset if pair_id in pair_ids else None


def _columns(name: str) -> Features:
    return Features(
        {
            column_of(name, side): Value("float64" if column_of is schema.rewrite_similarity_column else "string")
            for side in schema.SIDES
            for column_of in (
                schema.rewrite_column,
                schema.rewrite_prompt_column,
                schema.rewrite_status_column,
                schema.rewrite_detail_column,
                schema.rewrite_similarity_column,
            )
        }
    )


def _preset(name: str) -> Preset:
    if name not in PRESETS:
        raise DataError(f"there is no preset {name!r}; choose one of {list(PRESETS)}")
    return PRESETS[name]
