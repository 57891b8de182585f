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
from collections import Counter
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
_MAX_CHARACTERS = 1_000_000
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
        text = _read_file(path)
    elif _HUB_ID.fullmatch(str(source)) and not str(source).endswith((".yaml", ".yml")):
        text = _from_hub(str(source))
    else:
        raise DataError(f"no taxonomy at {path.absolute()}; give 'seal', the path of a YAML file or an id on the Hub")
    return _taxonomy(_parse(text, str(source)), str(source))


def _read_file(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"taxonomy {path} is not UTF-8 text ({error.reason} at byte {error.start}); save it in UTF-8 encoding"
        ) from error
    except OSError as error:
        raise DataError(f"taxonomy {path} cannot be read: {error.strerror or error}") from error


class _PlainLoader(yaml.SafeLoader):
    """YAML whose words and decimals stay text: `yes` is an answer, `1.10` a version. It has no aliases and no repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):  # aliases of aliases grow without end
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"an alias (*{event.anchor}) stands {event.start_mark}; write its content out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if repeated := [key for key, count in keys.items() if count > 1]:
            raise yaml.YAMLError(f"the key {repeated[0]!r} is given twice{node.start_mark}")
        return super().construct_mapping(node, deep)


# Only whole numbers, true, false and null are no text. YAML 1.1 would also take yes and no, decimals and dates.
_RESOLVED = ("int", "null", "merge")
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in _RESOLVED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def _parse(text: str, source: str) -> object:
    if len(text) > _MAX_CHARACTERS:
        raise DataError(f"taxonomy {source} has {len(text):,} characters; at most {_MAX_CHARACTERS:,} are read")
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"taxonomy {source} is not valid YAML: {error}") from error


def _from_hub(source: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    from seal_datasets.data.hub_answers import asking_hub, first_line

    name, _, revision = source.partition("@")
    try:
        with asking_hub(name):
            path = hf_hub_download(name, TAXONOMY_FILE, repo_type="dataset", revision=revision or None)
        return _read_file(Path(path))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise DataError(
            f"no taxonomy at {Path(source).absolute()}, and the dataset {name!r} on the Hub has no readable "
            f"{TAXONOMY_FILE} ({first_line(error)})"
        ) from None


def _taxonomy(content: object, source: str) -> Taxonomy:
    if not isinstance(content, Mapping) or not isinstance(content.get("features"), list) or not content["features"]:
        raise DataError(f"taxonomy {source} needs the keys name, version and features (a list that is not empty)")
    features = tuple(_feature(row, source) for row in content["features"])
    counts = Counter(feature.name for feature in features)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise DataError(f"taxonomy {source} has repeated feature names: {', '.join(repeated)}")
    priorities = [feature.priority for feature in features if feature.role == "target"]
    if len(set(priorities)) != len(priorities):
        raise DataError(f"taxonomy {source} gives two targets the same priority: {priorities}")
    return Taxonomy(str(content.get("name", Path(source).stem)), str(content.get("version", "unversioned")), features)


def _feature(row: object, source: str) -> Feature:
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str) or not row["name"].isidentifier():
        raise DataError(f"taxonomy {source}: every feature needs a name of letters, digits and '_', got {_short(row)}")
    where = f"taxonomy {source}, feature {row['name']!r}"
    unknown = sorted(set(row) - set(_KEYS), key=str)
    if unknown:
        raise DataError(f"{where}: unknown keys {unknown}; allowed are {list(_KEYS)}")
    for key, allowed in (("role", get_args(Role)), ("level", get_args(Level)), ("type", ("bool", "ordinal", "labels"))):
        if row.get(key) not in allowed:
            raise DataError(f"{where}: {key} must be one of {list(allowed)}, got {_short(row.get(key))}")
    if not isinstance(row.get("question"), str) or not row["question"].strip():
        raise DataError(f"{where}: needs a question")
    if (row["role"] == "target") != _is_whole(row.get("priority")) or isinstance(row.get("priority"), bool):
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
        if not isinstance(values, Mapping) or not values or not all(map(_is_whole, values.values())):
            raise DataError(f"{where}: an ordinal feature needs values as answer: whole-number code")
        if odd := [answer for answer in values if not isinstance(answer, str)]:
            raise DataError(f"{where}: the answer {odd[0]!r} is no text; put it in quotes")
        if len(set(values.values())) < len(values):
            raise DataError(f"{where}: two answers have the same code: {_short(dict(values))}")
        return tuple((str(answer), code) for answer, code in values.items())
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise DataError(
            f"{where}: a labels feature needs values as a list of texts (put numbers, true and false in quotes)"
        )
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise DataError(f"{where}: the value {repeated[0]!r} is given twice")
    return tuple((value, index) for index, value in enumerate(values))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _as_row(feature: Feature) -> dict[str, Any]:
    return {key: getattr(feature, key) for key in _KEYS}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
