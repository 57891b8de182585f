"""Features as data: the question about a text, its allowed answers, and the role of each feature.

A taxonomy is a YAML file. The paper's own ships as `seal`; a user's file has the same keys::

    name: my-taxonomy
    version: "1.0"
    features:
      - name: last_response_is_polite
        role: target            # target (needs a priority, 1 is first) or spoiler
        priority: 1
        level: response         # response or conversation
        type: bool              # bool, ordinal or labels
        question: Is the last response polite?
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from seal_datasets.errors import DataError

Role = Literal["target", "spoiler"]
Level = Literal["conversation", "response"]
FeatureType = Literal["bool", "ordinal", "labels", "number"]
Label = bool | int | float | list[str]

TAXONOMY_FILE = "taxonomy.yaml"
"""Name of the file in a repository that holds a taxonomy."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_KEYS = ("name", "role", "level", "type", "question", "priority", "values")


class InvalidLabel(ValueError):
    """An answer that is not one of a feature's allowed values; `reason` is a short code, `detail` quotes the answer."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class Feature:
    """One question asked of a text.

    Attributes:
        name (`str`): Key of the feature, also part of its column names.
        role (`"target"` or `"spoiler"`): A value that the reward model should learn, or a property that it might
            pick up instead.
        level (`"conversation"` or `"response"`): The part that is judged.
        type (`"bool"`, `"ordinal"`, `"labels"` or `"number"`): Kind of answer; `number` is for surface features only.
        question (`str`): The question, for labelers and humans.
        priority (`int`, *optional*): Rank of a target in the labeler's preference, 1 first.
        values (`tuple[tuple[str, int], ...]`): Allowed answers with their codes; empty for `bool` and `number`.
    """

    name: str
    role: Role
    level: Level
    type: FeatureType
    question: str
    priority: int | None = None
    values: tuple[tuple[str, int], ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """Allowed answers, in the order of `values`."""
        return tuple(answer for answer, _ in self.values)

    def json_schema(self) -> dict[str, Any]:
        """JSON schema of one answer."""
        if self.type == "bool":
            return {"type": "boolean"}
        if self.type == "ordinal":
            return {"type": "string", "enum": list(self.answers)}
        return {"type": "array", "items": {"type": "string", "enum": list(self.answers)}}

    def parse(self, answer: object) -> Label:
        """Turn a labeler's answer into a value, strictly: no coercion, and no default of False.

        Args:
            answer (`object`): The decoded JSON value.

        Returns:
            `bool`, `int` (the code of an ordinal answer) or `list[str]` (sorted, without repeats).

        Raises:
            InvalidLabel: The answer has the wrong type or is not an allowed value.

        Example:

        ```python
        >>> taxonomy = load_taxonomy("seal")
        >>> taxonomy["last_response_sentiment"].parse("positive")
        1
        >>> taxonomy["last_response_is_helpful"].parse("yes")
        Traceback (most recent call last):
        ...
        seal_datasets.labels.taxonomy.InvalidLabel: wrong_type: expected true or false, got 'yes'

        ```
        """
        if self.type == "bool":
            if not isinstance(answer, bool):
                raise InvalidLabel("wrong_type", f"expected true or false, got {_short(answer)}")
            return answer
        if self.type == "ordinal":
            if not isinstance(answer, str):
                raise InvalidLabel("wrong_type", f"expected one of {list(self.answers)}, got {_short(answer)}")
            codes = dict(self.values)
            if answer not in codes:
                raise InvalidLabel("unknown_value", f"expected one of {list(self.answers)}, got {_short(answer)}")
            return codes[answer]
        if not isinstance(answer, list) or not all(isinstance(item, str) for item in answer):
            raise InvalidLabel("wrong_type", f"expected a list of strings, got {_short(answer)}")
        unknown = [item for item in answer if item not in self.answers]
        if unknown:
            raise InvalidLabel("unknown_value", f"{_short(unknown[0])} is not an allowed answer")
        return sorted(set(answer))


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """An ordered, versioned set of features.

    Attributes:
        name (`str`): Name of the taxonomy.
        version (`str`): Version stated by its author.
        features (`tuple[Feature, ...]`): The features, in file order.
    """

    name: str
    version: str
    features: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in file order."""
        return tuple(feature.name for feature in self.features)

    @property
    def targets(self) -> tuple[Feature, ...]:
        """Target features by priority, the order of the labeler's lexicographic preference."""
        targets = [feature for feature in self.features if feature.role == "target"]
        return tuple(sorted(targets, key=lambda feature: feature.priority or 0))

    @property
    def digest(self) -> str:
        """Hash of the content, which identifies files that were edited without a new version."""
        content = json.dumps([_as_row(feature) for feature in self.features], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise DataError(f"taxonomy {self.name!r} has no feature {name!r}; it has: {', '.join(self.names)}")

    def select(self, names: Sequence[str]) -> Taxonomy:
        """The same taxonomy with only the named features, in the named order.

        Raises:
            DataError: A name is unknown or given twice.
        """
        if len(set(names)) != len(names):
            raise DataError(f"features are named more than once: {list(names)}")
        return Taxonomy(self.name, self.version, tuple(self[name] for name in names))


def load_taxonomy(source: str | Path = "seal") -> Taxonomy:
    """Read a taxonomy from the package, from a user's YAML file or from the Hub.

    Args:
        source (`str` or `Path`, defaults to `"seal"`): `"seal"` for the paper's 19 features, a path to a YAML file, or the id
            of a dataset on the Hub that holds one. A revision after `@` pins the dataset.

    Returns:
        `Taxonomy`: The validated features.

    Raises:
        DataError: The file is missing, is not YAML, or a feature breaks a rule; the message states feature and key.

    Example:

    ```python
    >>> taxonomy = load_taxonomy("seal")
    >>> len(taxonomy.features)
    19
    >>> [feature.name for feature in taxonomy.targets]
    ['last_response_is_harmless', 'last_response_is_helpful']

    ```
    """
    path = Path(source)
    if str(source) == "seal":
        text = (resources.files("seal_datasets.labels.taxonomies") / "seal.yaml").read_text("utf-8")
    elif path.is_file():
        text = path.read_text("utf-8")
    elif _HUB_ID.fullmatch(str(source)) and not str(source).endswith((".yaml", ".yml")):
        text = _from_hub(str(source))
    else:
        raise DataError(f"no taxonomy at {path.absolute()}; give 'seal', the path of a YAML file or an id on the Hub")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"taxonomy {source} is not valid YAML: {error}") from error
    return _taxonomy(content, str(source))


def _from_hub(source: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, _, revision = source.partition("@")
    try:
        path = hf_hub_download(name, TAXONOMY_FILE, repo_type="dataset", revision=revision or None)
        return Path(path).read_text("utf-8")
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(
            f"no taxonomy at {Path(source).absolute()}, and the dataset {name!r} on the Hub has no readable "
            f"{TAXONOMY_FILE} ({why})"
        ) from error


def _taxonomy(content: object, source: str) -> Taxonomy:
    if not isinstance(content, Mapping) or not isinstance(content.get("features"), list) or not content["features"]:
        raise DataError(f"taxonomy {source} needs the keys name, version and features (a list that is not empty)")
    features = tuple(_feature(row, source) for row in content["features"])
    names = [feature.name for feature in features]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"taxonomy {source} has repeated feature names: {', '.join(repeated)}")
    priorities = [feature.priority for feature in features if feature.role == "target"]
    if len(set(priorities)) != len(priorities):
        raise DataError(f"taxonomy {source} gives two targets the same priority: {priorities}")
    return Taxonomy(str(content.get("name", Path(source).stem)), str(content.get("version", "unversioned")), features)


def _feature(row: object, source: str) -> Feature:
    if not isinstance(row, Mapping) or not str(row.get("name", "")).isidentifier():
        raise DataError(f"taxonomy {source}: every feature needs a name of letters, digits and '_', got {_short(row)}")
    where = f"taxonomy {source}, feature {row['name']!r}"
    unknown = sorted(set(row) - set(_KEYS))
    if unknown:
        raise DataError(f"{where}: unknown keys {unknown}; allowed are {list(_KEYS)}")
    for key, allowed in (("role", get_args(Role)), ("level", get_args(Level)), ("type", ("bool", "ordinal", "labels"))):
        if row.get(key) not in allowed:
            raise DataError(f"{where}: {key} must be one of {list(allowed)}, got {_short(row.get(key))}")
    if not isinstance(row.get("question"), str) or not row["question"].strip():
        raise DataError(f"{where}: needs a question")
    if (row["role"] == "target") != isinstance(row.get("priority"), int):
        raise DataError(f"{where}: a target needs a whole-number priority (1 is first), and only a target has one")
    values = _values(row.get("values"), row["type"], where)
    return Feature(
        row["name"], row["role"], row["level"], row["type"], row["question"].strip(), row.get("priority"), values
    )


def _values(values: object, kind: FeatureType, where: str) -> tuple[tuple[str, int], ...]:
    if kind == "bool":
        if values is not None:
            raise DataError(f"{where}: a bool feature takes no values")
        return ()
    if kind == "ordinal":
        if not isinstance(values, Mapping) or not all(isinstance(code, int) for code in values.values()):
            raise DataError(f"{where}: an ordinal feature needs values as answer: whole-number code")
        return tuple((str(answer), code) for answer, code in values.items())
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise DataError(f"{where}: a labels feature needs values as a list of strings")
    return tuple((value, index) for index, value in enumerate(values))


def _as_row(feature: Feature) -> dict[str, Any]:
    return {key: getattr(feature, key) for key in _KEYS}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
