"""Add rewrites of a share of the pairs as columns.

`rewritten_pairs` makes a table of pairs from these columns. So any transform that labels or scores pairs also labels or scores
rewrites; `on_rewrites` runs it and adds its columns to the originals.
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
"""Preset for the text of a pair id and side; `None` for no rewrite."""


@dataclass(frozen=True, slots=True)
class _RewriteColumn:
    """Rewrites to add under one name.

    Attributes:
        name (`str`): A preset, an axis, or an axis with `_back`.
        preset_of (`Callable`): Preset of each text.
        of (`str`, *optional*): Name of rewrites to rewrite a second time; the originals when omitted.
    """

    name: str
    preset_of: _PresetOf
    of: str | None = None

    def wanted(
        self, batch: Mapping[str, Sequence[object]], row: int, side: schema.Side
    ) -> tuple[Text | str, Preset | None]:
        """The text to rewrite and its preset, or the status if there is none."""
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
        preset (`str`, defaults to `"style"`): Kind of rewrite, one of `PRESETS`.
        similarity (`SimilarityModel`): Compares each rewrite with its original.
        min_similarity (`float`, defaults to 0.8): Threshold of the cosine; less similar rewrites are rejected.
        pair_ids (`Collection[str]`, *optional*): The pairs to rewrite, e.g. from `sample_pairs(pairs, 0.05)`; 1 % of the
            pairs, drawn by `sample_pairs(pairs)`, when omitted.

    Returns:
        `Dataset`: The pairs with `rewrite_<preset>_<side>`, `rewrite_prompt_<preset>_<side>`, `rewrite_status_<preset>_<side>`
        (`ok`, or the reason if a rewrite is missing or rejected), `rewrite_detail_...` and `rewrite_similarity_...`.

    Raises:
        DataError: The preset or a pair id is not known.
        LabelerError: The endpoint cannot be reached or rejects requests; answers received so far are in the store.

    Source: SEAL, section 2.3 (robustness scores) and appendix C.5.
    """
    chosen_preset = _find_preset(preset)
    sampled = frozenset(known_ids(pairs, pair_ids) if pair_ids is not None else sample_pairs(pairs))
    column = _RewriteColumn(preset, _of_sampled(chosen_preset, sampled))
    return _add_rewrites(pairs, rewriter, column, similarity, min_similarity)


def add_round_trips(
    pairs: Dataset,
    rewriter: Rewriter,
    axis: str,
    *,
    similarity: SimilarityModel,
    min_similarity: float = MIN_SIMILARITY,
    pair_ids: Collection[str] | None = None,
) -> Dataset:
    """Add rewrites that flip an attribute, and rewrites of those that flip it back.

    A text with the attribute loses it and regains it; a text without it gains and loses it. Both rewrites share the
    rewriter's side effects, so comparing the two isolates the attribute; comparing original and rewrite does not.

    Args:
        pairs (`Dataset`): Canonical pairs with the column of the axis's feature.
        rewriter (`Rewriter`): The model that rewrites.
        axis (`str`): One of `AXES`.
        similarity (`SimilarityModel`): Compares each rewrite with the text that was rewritten.
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
    chosen_axis = AXES[axis]
    gain, lose = PRESETS[chosen_axis.gain], PRESETS[chosen_axis.lose]
    ids = known_ids(pairs, pair_ids) if pair_ids is not None else sample_pairs(pairs)
    has_attribute = attribute_of(pairs, chosen_axis, ids)
    columns = {
        schema.attribute_column(axis, side): [has_attribute.get((pair_id, side)) for pair_id in pairs[schema.PAIR_ID]]
        for side in schema.SIDES
    }
    pairs = add_columns(pairs, columns, Features({name: Value("bool") for name in columns}))

    def flip(pair_id: str, side: schema.Side) -> Preset | None:
        value = has_attribute.get((pair_id, side))
        return None if value is None else (lose if value else gain)

    def flip_back(pair_id: str, side: schema.Side) -> Preset | None:
        value = has_attribute.get((pair_id, side))
        return None if value is None else (gain if value else lose)

    pairs = _add_rewrites(pairs, rewriter, _RewriteColumn(axis, flip), similarity, min_similarity)
    return _add_rewrites(
        pairs, rewriter, _RewriteColumn(schema.back(axis), flip_back, of=axis), similarity, min_similarity
    )


def plan_rewrites(
    pairs: Dataset, rewriter: Rewriter, presets: Sequence[str], axes: Sequence[str], pair_ids: Collection[str]
) -> Plan:
    """Estimate the requests and cost of `add_rewrites` and `add_round_trips` without sending any.

    Args:
        pairs (`Dataset`): Canonical pairs.
        rewriter (`Rewriter`): The model that rewrites; answers in its store cost nothing.
        presets (`Sequence[str]`): Rewrites to make.
        axes (`Sequence[str]`): Attributes to flip and flip back; the estimate takes the first rewrites to be as long as the
            originals.
        pair_ids (`Collection[str]`): The sampled pairs.

    Returns:
        `Plan`: Texts, requests, tokens and cost.
    """
    sampled = frozenset(pair_ids)
    used = [_find_preset(name) for name in presets]
    used += [PRESETS[name] for axis in axes for name in (AXES[axis].gain, AXES[axis].lose)]
    return rewriter.plan(
        (text, preset)
        for preset in used
        for text, _ in _texts_to_rewrite(pairs, _RewriteColumn(preset.name, _of_sampled(preset, sampled)))
    )


def _add_rewrites(
    pairs: Dataset, rewriter: Rewriter, column: _RewriteColumn, similarity: SimilarityModel, min_similarity: float
) -> Dataset:
    """Request all rewrites, then fill the columns from the store."""
    found = rewriter.until_accepted(
        lambda: _texts_to_rewrite(pairs, column),
        check=lambda texts, results: _reject_dissimilar(texts, results, similarity, min_similarity),
        title=f"Rewriting ({column.name})",
    )

    def rewrite_batch(batch: Batch) -> Batch:
        columns: Batch = {name: [] for name in _columns(column.name)}
        for side in schema.SIDES:
            wanted = [column.wanted(batch, row, side) for row in range(len(batch[schema.PAIR_ID]))]
            asked = [(text, preset) for text, preset in wanted if isinstance(text, Text) and preset]
            answers = iter(rewriter.recall(asked, found))
            for text, preset in wanted:
                rewrite = next(answers) if isinstance(text, Text) and preset else Rewrite(None, str(text))
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
        pure=False,
    )


def _reject_dissimilar(
    texts: Sequence[tuple[Text, Preset]], rewrites: Sequence[Rewrite], model: SimilarityModel, threshold: float
) -> list[Rewrite]:
    """Add to each rewrite its similarity to the original, and reject those below the threshold."""
    compared = [
        (index, text, rewrite.text)
        for index, ((text, _), rewrite) in enumerate(zip(texts, rewrites, strict=True))
        if rewrite.text is not None and rewrite.text.response.strip()
    ]
    results = list(rewrites)
    if compared:
        before = [_compared_text(original, original, rewrite) for _, original, rewrite in compared]
        after = [_compared_text(rewrite, original, rewrite) for _, original, rewrite in compared]
        for (index, _, _), cosine in zip(compared, model.compare(before, after).tolist(), strict=True):
            results[index] = replace(results[index], similarity=cosine)
            if results[index].reason == "ok" and cosine < threshold:
                detail = f"cosine {cosine:.3f} with the original is below {threshold:g}"
                results[index] = replace(results[index], reason="below_similarity", detail=detail)
    return results


def _compared_text(text: Text, original: Text, rewrite: Text) -> str:
    """The response, or the whole dialogue if the prompt was rewritten too."""
    return text.response if original.prompt == rewrite.prompt else text.prompt + text.response


def _texts_to_rewrite(pairs: Dataset, column: _RewriteColumn) -> Iterator[tuple[Text, Preset]]:
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


def _find_preset(name: str) -> Preset:
    if name not in PRESETS:
        raise DataError(f"there is no preset {name!r}; choose one of {list(PRESETS)}")
    return PRESETS[name]
