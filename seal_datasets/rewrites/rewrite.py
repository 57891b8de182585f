"""Rewrite a share of the pairs, and put what any later transform says of the rewrites beside what it says of the originals.

A rewrite is kept in columns beside its pair. `rewritten_pairs` makes a table of pairs from them, so whatever labels or scores
pairs labels or scores rewrites too: `on_rewrites` runs it and brings its columns back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from datasets import Dataset, Features, Value

from seal_datasets import schema
from seal_datasets.data.texts import Text, known_ids, pair_text
from seal_datasets.data.transform import Batch, map_batches, put_beside
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


def add_rewrites(
    pairs: Dataset,
    rewriter: Rewriter,
    preset: str = "style",
    *,
    similarity: SimilarityModel,
    min_similarity: float = MIN_SIMILARITY,
    pair_ids: Collection[str] | None = None,
    share: float = 0.01,
    seed: int = 0,
    stratify_by: str | None = None,
) -> Dataset:
    """Add rewrites of both responses of a share of the pairs.

    Args:
        pairs (`Dataset`): Canonical pairs from `load_pairs`.
        rewriter (`Rewriter`): The model that rewrites.
        preset (`str`, defaults to `"style"`): How, one of `PRESETS`.
        similarity (`SimilarityModel`): Compares each rewrite with its original.
        min_similarity (`float`, defaults to 0.8): Rewrites less like their originals than this are refused.
        pair_ids (`Collection[str]`, *optional*): Rewrite these pairs; drawn by `sample_pairs` when omitted.
        share (`float`, defaults to 0.01): As in `sample_pairs`, and so are `seed` and `stratify_by`.
        seed (`int`, defaults to 0): Of the draw.
        stratify_by (`str`, *optional*): Column whose values keep their shares.

    Returns:
        `Dataset`: The pairs with `rewrite_<preset>_<side>`, `rewrite_prompt_<preset>_<side>`, `rewrite_status_<preset>_<side>`
        (`ok`, or why there is no rewrite), `rewrite_detail_...` and `rewrite_similarity_...`.

    Raises:
        DataError: The preset or a pair id is not known.
        LabelerError: The endpoint is down or refuses to work; what was answered so far is in the store.

    Source: SEAL, section 2.3 (robustness scores) and appendix C.5.
    """
    found = _preset(preset)
    ids = (
        known_ids(pairs, pair_ids)
        if pair_ids is not None
        else sample_pairs(pairs, share, seed=seed, stratify_by=stratify_by)
    )
    chosen_ids = frozenset(ids)
    return _add(
        pairs,
        rewriter,
        preset,
        lambda pair_id, _: found if pair_id in chosen_ids else None,
        similarity,
        min_similarity,
    )


def add_round_trips(
    pairs: Dataset,
    rewriter: Rewriter,
    axis: str,
    *,
    similarity: SimilarityModel,
    min_similarity: float = MIN_SIMILARITY,
    pair_ids: Collection[str] | None = None,
    share: float = 0.01,
    seed: int = 0,
    stratify_by: str | None = None,
) -> Dataset:
    """Add rewrites of an attribute to its other value, and of those rewrites back again.

    A text with the attribute loses it and regains it, one without gains and loses it. What a rewriter changes besides, both
    rewrites share, so that they can be compared where original and rewrite cannot.

    Args:
        pairs (`Dataset`): Canonical pairs with the column of the axis's feature.
        rewriter (`Rewriter`): The model that rewrites.
        axis (`str`): One of `AXES`.
        similarity (`SimilarityModel`): As for `add_rewrites`, and so are all others.
        min_similarity (`float`, defaults to 0.8): Both rewrites are held against the text they were made from.
        pair_ids (`Collection[str]`, *optional*): Rewrite these pairs.
        share (`float`, defaults to 0.01): Share of the pairs.
        seed (`int`, defaults to 0): Of the draw.
        stratify_by (`str`, *optional*): Column whose values keep their shares.

    Returns:
        `Dataset`: The pairs with the columns of `add_rewrites` under the axis's name and under `<axis>_back`, and
        `rewrite_attribute_<axis>_<side>`: whether the original has the attribute.

    Raises:
        DataError: The axis or a pair id is not known, or the feature's columns are missing.

    Source: Reber et al. (2024), arXiv 2410.11348 (RATE).
    """
    if axis not in AXES:
        raise DataError(f"there is no axis {axis!r}; there are {list(AXES)}")
    known = AXES[axis]
    gain, lose = PRESETS[known.gain], PRESETS[known.lose]
    ids = (
        known_ids(pairs, pair_ids)
        if pair_ids is not None
        else sample_pairs(pairs, share, seed=seed, stratify_by=stratify_by)
    )
    has = attribute_of(pairs, known, ids)
    columns = {
        schema.attribute_column(axis, side): [has.get((pair_id, side)) for pair_id in pairs[schema.PAIR_ID]]
        for side in schema.SIDES
    }
    pairs = put_beside(pairs, columns, Features({name: Value("bool") for name in columns}))

    def there(pair_id: str, side: schema.Side) -> Preset | None:
        value = has.get((pair_id, side))
        return None if value is None else (lose if value else gain)

    def back(pair_id: str, side: schema.Side) -> Preset | None:
        value = has.get((pair_id, side))
        return None if value is None else (gain if value else lose)

    pairs = _add(pairs, rewriter, axis, there, similarity, min_similarity)
    return _add(pairs, rewriter, schema.back(axis), back, similarity, min_similarity, of=axis)


def plan_rewrites(
    pairs: Dataset, rewriter: Rewriter, presets: Sequence[str], axes: Sequence[str], pair_ids: Collection[str]
) -> Plan:
    """Say what `add_rewrites` and `add_round_trips` would ask and what it would cost, asking nothing.

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
        (text, way)
        for way in ways
        for text, _ in _all_wanted(pairs, lambda pair_id, _, way=way: way if pair_id in drawn else None, None)  # type: ignore[misc]
    )


def _add(
    pairs: Dataset,
    rewriter: Rewriter,
    name: str,
    preset_of: Callable[[str, schema.Side], Preset | None],
    similarity: SimilarityModel,
    min_similarity: float,
    *,
    of: str | None = None,
) -> Dataset:
    """Ask for all rewrites, then fill the columns from the store."""
    rewrites = rewriter.until_accepted(
        _all_wanted(pairs, preset_of, of),
        check=lambda texts, found: _compared(texts, found, similarity, min_similarity),
        title=f"Rewriting ({name})",
    )

    def rewrite_batch(batch: Batch) -> Batch:
        columns: Batch = {column: [] for column in _columns(name)}
        for side in schema.SIDES:
            asked = [_wanted(batch, row, side, preset_of, of) for row in range(len(batch[schema.PAIR_ID]))]
            for text, preset in asked:
                rewrite = rewrites[text, preset] if isinstance(text, Text) and preset else Rewrite(None, str(text))
                columns[schema.rewrite_column(name, side)].append(rewrite.text and rewrite.text.response)
                prompt = rewrite.text.prompt if rewrite.text and rewriter.whole_dialogue else None
                columns[schema.rewrite_prompt_column(name, side)].append(prompt)
                columns[schema.rewrite_status_column(name, side)].append(rewrite.reason)
                columns[schema.rewrite_detail_column(name, side)].append(rewrite.detail)
                columns[schema.rewrite_similarity_column(name, side)].append(rewrite.similarity)
        return columns

    return map_batches(
        pairs,
        rewrite_batch,
        new_columns=_columns(name),
        provenance={"rewrite_version": REWRITE_VERSION},
        batch_size=256,
        desc=f"Checking rewrites ({name})",
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


def _all_wanted(
    pairs: Dataset, preset_of: Callable[[str, schema.Side], Preset | None], of: str | None
) -> Iterator[tuple[Text, Preset]]:
    for batch in pairs.iter(1000):
        for row in range(len(batch[schema.PAIR_ID])):
            for side in schema.SIDES:
                text, preset = _wanted(batch, row, side, preset_of, of)
                if isinstance(text, Text) and preset:
                    yield text, preset


def _wanted(
    batch: Mapping[str, Sequence[object]],
    row: int,
    side: schema.Side,
    preset_of: Callable[[str, schema.Side], Preset | None],
    of: str | None,
) -> tuple[Text | str, Preset | None]:
    """The text to rewrite and how, or the status that says why there is none."""
    preset = preset_of(str(batch[schema.PAIR_ID][row]), side)
    if preset is None:
        return NOT_SAMPLED, None
    text = pair_text(dict(batch), row, side)  # type: ignore[arg-type]
    if not isinstance(text, Text):
        return text[0], None
    if of is None:
        return text, preset
    if batch[schema.rewrite_status_column(of, side)][row] != "ok":
        return _NOT_REWRITTEN, None
    prompt = batch[schema.rewrite_prompt_column(of, side)][row]
    return Text(
        str(prompt if prompt is not None else text.prompt), str(batch[schema.rewrite_column(of, side)][row])
    ), preset


def _columns(name: str) -> Features:
    return Features(
        {
            column(name, side): Value("float64" if column is schema.rewrite_similarity_column else "string")
            for side in schema.SIDES
            for column in (
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
        raise DataError(f"there is no preset {name!r}; there are {list(PRESETS)}")
    return PRESETS[name]
