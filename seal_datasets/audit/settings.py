"""Settings of an audit: every choice that affects its result, checked before any slow work."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from seal_datasets.audit.given_models import GivenModels
from seal_datasets.endpoints.embedded import MODEL_NAME
from seal_datasets.errors import DataError
from seal_datasets.rewards.encoding import OverLength
from seal_datasets.rewards.training_settings import TrainingSettings
from seal_datasets.rewrites.presets import PRESETS
from seal_datasets.rewrites.rewrite import MIN_SIMILARITY
from seal_datasets.rewrites.sample import AXES


@dataclass(frozen=True, slots=True)
class RewriteSettings:
    """Which pairs to rewrite, how, and by which model.

    Attributes:
        share (`float`): Share of the pairs, drawn with the audit's seed.
        presets (`tuple[str, ...]`): Rewrites to make, of `PRESETS`.
        axes (`tuple[str, ...]`): Attributes to flip and flip back, of `AXES`.
        rewriter (`str`, *optional*): `"local"` or a URL, as for the labeler; the labeler's when omitted.
        rewriter_model (`str`, *optional*): Name of the model at that endpoint.
        attempts (`int`): Maximum requests per text, until a rewrite is accepted.
        temperature (`float`): Sampling temperature of rewrites.
        whole_dialogue (`bool`): Whether to rewrite prompts too.
        min_similarity (`float`): Threshold of the cosine similarity to the original.
        similarity_model (`str`, *optional*): A sentence encoder, see `SimilarityModel`. When omitted, BGE-m3 if it can be
            loaded, else the embedded one.
        stratify_by (`str`, *optional*): Column that defines strata; its values keep their shares in the draw.
    """

    share: float = 0.01
    presets: tuple[str, ...] = ("style",)
    axes: tuple[str, ...] = ()
    rewriter: str | None = None
    rewriter_model: str | None = None
    attempts: int = 1
    temperature: float = 0.1
    whole_dialogue: bool = False
    min_similarity: float = MIN_SIMILARITY
    similarity_model: str | None = None
    stratify_by: str | None = None

    def __post_init__(self) -> None:
        for kind, given, known in (("preset", self.presets, PRESETS), ("axis", self.axes, AXES)):
            if unknown := [name for name in given if name not in known]:
                raise DataError(f"there is no {kind} {unknown[0]!r} of rewriting; there are {list(known)}")
        if not 0.0 < self.share <= 1.0:
            raise DataError(f"the share of pairs to rewrite must be above 0 and at most 1, got {self.share}")
        if self.attempts < 1:
            raise DataError(f"a rewrite needs at least one attempt, got {self.attempts}")
        if not 0.0 <= self.temperature < math.inf:
            raise DataError(f"the temperature of rewrites must be 0 or more, got {self.temperature}")
        if not -1.0 <= self.min_similarity <= 1.0:
            raise DataError(f"the least similarity of a rewrite must lie between -1 and 1, got {self.min_similarity}")
        if self.rewriter and self.rewriter.startswith("http") and not self.rewriter_model:
            raise DataError("a rewriter given by URL needs the name of its model (rewriter_model)")


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """A strong language model that labels a drawn share of the prompts, in the place of people.

    Attributes:
        server (`str`): URL of an OpenAI-compatible endpoint, or `"local"`, the embedded model.
        model (`str`, *optional*): Name of the model at that endpoint.
        share (`float`): Share of the prompts to label, drawn with the audit's seed.
    """

    server: str
    model: str | None = None
    share: float = 0.02

    def __post_init__(self) -> None:
        if self.server != "local" and not self.server.startswith(("http://", "https://")):
            raise DataError(f"the teacher must be 'local' or a URL, got {self.server!r}")
        if self.server != "local" and not self.model:
            raise DataError("a teacher given by URL needs the name of its model (--teacher-model)")
        if not 0.0 < self.share <= 1.0:
            raise DataError(
                f"the share of prompts that the teacher labels must be above 0 and at most 1, got {self.share}"
            )


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Options of an audit.

    Attributes:
        limit (`int`, *optional*): Rows to take from the source, drawn with the seed; all when omitted.
        split (`str`, *optional*): Split of a source with several.
        models (`GivenModels`): The reward models; a pair is trained when none is given.
        labeler (`str`, *optional*): `"probe"` (heads on embeddings, trained on gold labels), the URL of an OpenAI-compatible
            endpoint, `"local"` (the embedded model) or `"none"`. When omitted, a probe where there are gold labels, else none.
        labeler_model (`str`, *optional*): Name of the model at that endpoint.
        label_limit (`int`, *optional*): Pairs to label, a seeded random sample; all when omitted.
        probabilities (`bool`): Whether to ask for yes/no features separately, for P(true).
        concurrency (`int`): Maximum concurrent requests to a labeler given by URL.
        max_failure_rate (`float`): Labeling stops if more than this share of texts has no label.
        batch (`bool`): Whether to send requests through the OpenAI Batch API.
        budget (`float`, *optional*): Limit in US dollars on the cost of all responses in the store; texts beyond it get no
            labels.
        prices (`str`, *optional*): YAML file of model prices; the packaged file when omitted.
        timeout (`float`): Seconds one request may take.
        served_models (`tuple[str, ...]`): Names that endpoints give in their answers, where they differ from those asked.
        request (`dict[str, Any]`): Own fields of every request; `None` drops a field.
        max_answer_tokens (`int`, *optional*): Tokens for an answer, thoughts included; by the questions when omitted.
        gold (`str`, *optional*): File of human labels, see `add_gold`.
        teacher (`TeacherSettings`, *optional*): Who labels a drawn share, whose labels play the part of gold labels.
        encoder (`str`): What a probe embeds texts with: `"embedded"`, a Hub id or folder, or `URL#MODEL` of an endpoint.
        keep_weak (`bool`): Whether to keep a probe's labels that are not better than the commonest answer.
        features (`tuple[str, ...]`): Features to label. When empty, the whole taxonomy, for a probe those with gold labels, or
            for the embedded labeler `EMBEDDED_FEATURES`.
        taxonomy (`str`): `"seal"` or the path of a YAML file.
        over_length (`str`): Treatment of texts above a model's length limit, see `RewardModel`.
        seed (`int`): Seed of every random draw.
        training (`TrainingSettings`): How to train the pair of models, if they are trained.
        rewrites (`RewriteSettings`, *optional*): What to rewrite; nothing when omitted.
        doctor (`bool`): Whether to examine the models first, see `doctor.examine`.
        tie_band (`float`, *optional*): Rewards at most this far apart are a tie. When omitted, the largest jitter that the
            doctor measured, or 0 without the doctor.
    """

    limit: int | None = None
    split: str | None = None
    models: GivenModels = field(default_factory=GivenModels)
    labeler: str | None = None
    labeler_model: str | None = None
    label_limit: int | None = None
    probabilities: bool = False
    concurrency: int = 16
    max_failure_rate: float = 0.5
    batch: bool = False
    budget: float | None = None
    prices: str | None = None
    timeout: float = 300.0
    served_models: tuple[str, ...] = ()
    request: dict[str, Any] = field(default_factory=dict)
    max_answer_tokens: int | None = None
    gold: str | None = None
    teacher: TeacherSettings | None = None
    encoder: str = "embedded"
    keep_weak: bool = False
    features: tuple[str, ...] = ()
    taxonomy: str = "seal"
    over_length: OverLength = "truncate"
    seed: int = 0
    training: TrainingSettings = field(default_factory=TrainingSettings)
    rewrites: RewriteSettings | None = None
    doctor: bool = False
    tie_band: float | None = None

    def __post_init__(self) -> None:
        self._check_models()
        self._check_labeler()
        if self.budget is not None and not 0.0 <= self.budget < math.inf:
            raise DataError(f"a budget must be 0 or more dollars, got {self.budget}; leave it out for no limit")
        if self.tie_band is not None and not 0.0 <= self.tie_band < math.inf:
            raise DataError(f"a tie band must be 0 or more points of reward, got {self.tie_band}")
        try:  # a number that JSON lacks would fail at the end, in the record of the run
            json.dumps(self.request, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"fields of requests must be JSON, got {self.request!r} ({error})") from error
        if not 0.0 < self.timeout < math.inf:
            raise DataError(f"timeout must be a number of seconds above 0, got {self.timeout}")
        if not 0.0 <= self.max_failure_rate <= 1.0:
            raise DataError(f"max_failure_rate must lie between 0 and 1, got {self.max_failure_rate}")
        for name in ("limit", "label_limit", "concurrency", "max_answer_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} must be at least 1, got {value}")

    def _check_labeler(self) -> None:
        labeler = self.labeler or "none"
        if labeler not in ("probe", "local", "none") and not labeler.startswith(("http://", "https://")):
            raise DataError(f"the labeler must be 'probe', 'local', 'none' or a URL, got {labeler!r}")
        if labeler.startswith("http") and not self.labeler_model:
            raise DataError("a labeler given by URL needs the name of its model (labeler_model)")
        if self.encoder.startswith(("http://", "https://")) and not self.encoder.partition("#")[2]:
            raise DataError(f"an encoder given by URL needs the name of its model after '#', got {self.encoder!r}")

    def _check_models(self) -> None:
        models = self.models
        opened = (models.head, models.options.max_length)
        if not models.texts and any(value is not None for value in opened):
            raise DataError("head and max_length are of a model that is given; give one, or leave them out")
        if models.columns and self.rewrites is not None:
            raise DataError(
                f"rewrites are scored anew, and the rewards of {next(iter(models.columns))} are columns; leave out the "
                "rewrites, or give a model that can be run"
            )

    @property
    def addresses(self) -> tuple[str, ...]:
        """URLs of the language models."""
        servers = (
            self.labeler,
            self.teacher.server if self.teacher else None,
            self.encoder.partition("#")[0],
            self.rewrites.rewriter if self.rewrites else None,
        )
        return tuple(server for server in servers if server and server.startswith("http"))


@dataclass(frozen=True, slots=True)
class LabelerPanel:
    """Several labelers of the same pairs, or one with repeats.

    Attributes:
        labelers (`tuple[str, ...]`): `local`, `MODEL@URL` or `probe`; append `:probabilities` to ask a model for P(true).
        repeat (`int`): Number of runs per labeler, with the seeds 0, 1, ...
        temperature (`float`): Sampling temperature.
        pair_ids (`tuple[str, ...]`, *optional*): Pairs to label, instead of a random sample.
    """

    labelers: tuple[str, ...]
    repeat: int = 1
    temperature: float = 0.0
    pair_ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.repeat > 1 and self.temperature <= 0.0:
            raise DataError("repeats at temperature 0 give the same answers; give a temperature above 0")
        if self.repeat * len(self.labelers) < 2:
            raise DataError("comparing labelers needs two labelers, or one with two repeats (repeat)")
        for labeler, (model, server, _) in zip(self.labelers, self.members, strict=True):
            if server not in ("local", "probe") and not (model and server.startswith(("http://", "https://"))):
                raise DataError(f"a labeler must be local, probe or MODEL@URL, got {labeler!r}")
        keys = [(model, soft) for model, _, soft in self.members]
        if same := [labeler for labeler, key in zip(self.labelers, keys, strict=True) if keys.count(key) > 1]:
            raise DataError(
                f"{' and '.join(same)} have the same model name, and the store identifies answers by it, so the second would "
                "get the answers of the first; serve them under different names, or use one with repeat"
            )

    @property
    def members(self) -> list[tuple[str, str, bool]]:
        """Model, server (`"local"`, `"probe"` or a URL) and whether to ask for P(true), by labeler."""
        members = []
        for labeler in self.labelers:
            name = labeler.removesuffix(":probabilities")
            known = {"local": (MODEL_NAME, "local"), "probe": ("probe", "probe")}
            model, url = known[name] if name in known else name.partition("@")[::2]
            members.append((model, url, name != labeler))
        return members

    @property
    def has_probe(self) -> bool:
        """Whether a probe is among the labelers."""
        return any(server == "probe" for _, server, _ in self.members)

    @property
    def addresses(self) -> tuple[str, ...]:
        """URLs of the labelers given by URL."""
        return tuple(server for _, server, _ in self.members if server not in ("local", "probe"))
