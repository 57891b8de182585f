"""The steps of a plan that ask language models: labels, rewrites, and the labels and rewards of rewrites."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets import Dataset

from seal_datasets import schema
from seal_datasets.audit.endpoint import open_endpoint, print_progress
from seal_datasets.audit.gold_step import draw_for_teacher
from seal_datasets.audit.label_step import chosen_labeler, plan_labels
from seal_datasets.audit.make_labeler import make_labeler
from seal_datasets.audit.plan_scoring import Scoring
from seal_datasets.audit.planned import PlannedStep, sample_rows
from seal_datasets.audit.probe_step import plan_probe
from seal_datasets.audit.rewrite_step import plan_rewriting, rewrite_names, rewriting_server
from seal_datasets.audit.settings import AuditSettings
from seal_datasets.data.texts import Text, pair_text
from seal_datasets.endpoints.cost import load_prices
from seal_datasets.endpoints.embedded import WEIGHTS_BYTES
from seal_datasets.endpoints.requests import Plan
from seal_datasets.endpoints.store import ResponseStore
from seal_datasets.labels.gold import gold_features
from seal_datasets.labels.taxonomy import Taxonomy

_FEATURES_ASKED = 2
_TEXTS_ASKED = 4
_NOT_ASKED = "time is not measured: a server answers, and none is asked"
_OF_ORIGINALS = (
    "at most, and counted on the originals: only accepted rewrites are {}, and only then is known what is cached"
)


class EmbeddedPace:
    """How fast the embedded model writes, measured once and only if it has something to write.

    Args:
        pairs (`Dataset`): Pairs of which a few texts are labeled; the labels are kept nowhere.
        taxonomy (`Taxonomy`): Features, of which a few are asked.
    """

    def __init__(self, pairs: Dataset, taxonomy: Taxonomy) -> None:
        batch = pairs.select(sample_rows(len(pairs), _TEXTS_ASKED))[:]
        found = (pair_text(batch, row, schema.SIDES[0]) for row in range(len(batch[schema.PAIR_ID])))
        self._texts = [text for text in found if isinstance(text, Text)]
        self._taxonomy = taxonomy.select(taxonomy.names[:_FEATURES_ASKED])
        self._measured: dict[bool, float] = {}

    def tokens_per_second(self, *, probabilities: bool) -> float:
        """Tokens written per second in answers to all questions at once, or to each alone for its probabilities."""
        if probabilities not in self._measured:
            print_progress("Measuring: the embedded model")
            settings = AuditSettings(probabilities=probabilities)
            with ResponseStore(":memory:") as store, open_endpoint("local", None) as endpoint:
                labeler = make_labeler(settings, store, endpoint, None)
                start = time.perf_counter()
                labeler.ask(self._texts, self._taxonomy)
                taken = time.perf_counter() - start
            self._measured[probabilities] = labeler.budget.usage.completion_tokens / taken
        return self._measured[probabilities]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers of language models are kept, and who gives more.

    Attributes:
        store (`Path`): SQLite file of responses; it may not exist.
        api_key (`str`, *optional*): Key of the endpoints.
        pace (`EmbeddedPace`): Of the embedded model.
    """

    store: Path
    api_key: str | None
    pace: EmbeddedPace


def plan_label_steps(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, sources: Sources
) -> list[PlannedStep]:
    """Plan the labels of the pairs, and those of a teacher.

    Args:
        pairs (`Dataset`): Canonical pairs, with the gold labels of people.
        taxonomy (`Taxonomy`): Features to label.
        settings (`AuditSettings`): The labeler, its sample, the teacher and the seed.
        sources (`Sources`): Answers of earlier runs.

    Returns:
        `list[PlannedStep]`: The rows of the plan.
    """
    steps = []
    if settings.teacher is not None:
        ids, _ = draw_for_teacher(pairs, settings.teacher, settings.seed)
        server, model = settings.teacher.server, settings.teacher.model
        asks = replace(settings, labeler=server, labeler_model=model, label_limit=None, probabilities=False)
        drawn = pairs.select([row for row, pair_id in enumerate(pairs[schema.PAIR_ID]) if pair_id in ids])
        asked = plan_labels(drawn, taxonomy, asks, sources.store, api_key=sources.api_key)
        if asked is not None:
            steps.append(_of_requests("labels of the teacher", len(ids), asked, asks, sources))
    has_gold = bool(steps) or bool(gold_features(pairs, taxonomy))
    if chosen_labeler(settings, has_gold=has_gold) == "probe":
        return [*steps, plan_probe(pairs, settings, sources.store)]
    plan = plan_labels(pairs, taxonomy, settings, sources.store, api_key=sources.api_key)
    if plan is None:
        return [*steps, PlannedStep("labels", pairs=0, notes=("no labeler, no requests",))]
    n_pairs = min(len(pairs), settings.label_limit or len(pairs))
    return [*steps, _of_requests("labels", n_pairs, plan, settings, sources)]


def plan_rewrite_steps(
    pairs: Dataset, taxonomy: Taxonomy, settings: AuditSettings, sources: Sources, scoring: Sequence[Scoring]
) -> list[PlannedStep]:
    """Plan the rewrites, and their labels and rewards.

    Args:
        pairs (`Dataset`): Canonical pairs.
        taxonomy (`Taxonomy`): Features that rewrites are labeled with.
        settings (`AuditSettings`): With `rewrites`.
        sources (`Sources`): Answers of earlier runs.
        scoring (`Sequence[Scoring]`): Of each model.

    Returns:
        `list[PlannedStep]`: The rows of the plan; none without rewrites.
    """
    if settings.rewrites is None:
        return []
    plan, sampled = plan_rewriting(pairs, settings, sources.store, api_key=sources.api_key)
    # Rewrites are written as labels are that are asked for at once.
    by = replace(settings, labeler=rewriting_server(settings)[0], probabilities=False)
    rewriting = _of_requests("rewrites", len(sampled), plan, by, sources)
    similarity = (
        f"similarity by {settings.rewrites.similarity_model or 'BAAI/bge-m3, or else the embedded model'} comes on top"
    )
    steps = [replace(rewriting, notes=(*rewriting.notes, similarity))]
    copies = len(rewrite_names(settings.rewrites))
    anew = replace(settings, label_limit=None, gold=None)
    labels = plan_labels(sampled, taxonomy, anew, None, api_key=sources.api_key)
    if labels is not None:
        labels = replace(
            labels, n_subjects=copies * labels.n_subjects, usage=sum([labels.usage] * (copies - 1), labels.usage)
        )
        step = _of_requests("label rewrites", len(sampled), labels, settings, sources)
        steps.append(replace(step, cached=math.nan, notes=(_OF_ORIGINALS.format("labeled"), *step.notes[1:])))
    texts = 2 * len(sampled) * copies
    steps.append(
        PlannedStep(
            "score rewrites",
            pairs=len(sampled),
            texts=texts * len(scoring),
            cached=math.nan,
            tokens=texts * sum(each.tokens_per_text for each in scoring),
            seconds=texts * sum(each.seconds_per_text for each in scoring),
            notes=(_OF_ORIGINALS.format("scored"),),
        )
    )
    return steps


def _of_requests(name: str, n_pairs: int, plan: Plan, settings: AuditSettings, sources: Sources) -> PlannedStep:
    """The row of a plan of requests to the labeler of the settings."""
    usage, local = plan.usage, settings.labeler == "local"
    n_stored, size = _stored(sources.store)
    notes = [f"{plan} (prices of {load_prices(settings.prices).as_of})"]
    if not usage.n_requests:
        seconds = 0.0
    elif local:
        pace = sources.pace.tokens_per_second(probabilities=settings.probabilities)
        seconds = usage.completion_tokens / pace
        notes.append(f"the embedded model wrote {pace:.0f} tokens a second")
    else:
        seconds = math.nan
        notes.append(_NOT_ASKED)
    if usage.n_requests and not n_stored:
        notes.append("disk is unknown until there is an answer in the store")
    per_answer = size / n_stored if n_stored else math.nan
    return PlannedStep(
        name,
        pairs=n_pairs,
        texts=plan.n_subjects,
        cached=plan.n_stored,
        tokens=usage.prompt_tokens + usage.completion_tokens,
        requests=usage.n_requests,
        dollars=plan.price.cost(usage),
        seconds=seconds,
        memory=WEIGHTS_BYTES if local else None,
        disk=per_answer * usage.n_requests if usage.n_requests else 0,
        notes=tuple(notes),
    )


def _stored(path: Path) -> tuple[int, int]:
    """Answers in a store and its bytes; zeros where there is none."""
    if not path.exists():
        return 0, 0
    with ResponseStore(path) as store:
        return len(store), path.stat().st_size
