"""Cost of requests: tokens, prices from a dated table, and budgets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seal_datasets.errors import DataError

_PACKAGED = Path(__file__).with_name("prices.yaml")
_MILLION = 1e6
_BYTES_PER_TOKEN = 4.0
_LEAST_BYTES_PER_TOKEN = 2.0
_SNAPSHOT = re.compile(r"-\d{4}-?\d{2}-?\d{2}|-\d{4}|-latest")


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of requests, as reported by the endpoint.

    Attributes:
        n_requests (`int`): Requests that were answered.
        prompt_tokens (`int`): Tokens sent, including those read from the endpoint's prefix cache.
        cached_tokens (`int`): Tokens read from the prefix cache.
        completion_tokens (`int`): Tokens written.
        n_unreported (`int`): Requests without reported usage; their tokens are not counted.

    Example:

    ```python
    >>> Usage.of({"usage": {"prompt_tokens": 90, "completion_tokens": 10}}) + Usage.of({})
    Usage(n_requests=2, prompt_tokens=90, cached_tokens=0, completion_tokens=10, n_unreported=1)

    ```
    """

    n_requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    n_unreported: int = 0

    @classmethod
    def of(cls, response: Mapping[str, object]) -> Usage:
        """Usage of one response."""
        usage = response.get("usage")
        if not isinstance(usage, dict):
            return cls(1, n_unreported=1)
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        return cls(1, _count(usage.get("prompt_tokens")), _count(cached), _count(usage.get("completion_tokens")))

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.n_requests + other.n_requests,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
            self.n_unreported + other.n_unreported,
        )

    def __str__(self) -> str:
        cached = f" ({self.cached_tokens:,} from its cache)" if self.cached_tokens else ""
        unknown = f"; {self.n_unreported:,} requests without a count" if self.n_unreported else ""
        return (
            f"{self.n_requests:,} requests, {self.prompt_tokens:,} tokens sent{cached}, "
            f"{self.completion_tokens:,} written{unknown}"
        )


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model, in US dollars per million tokens; nan if unknown.

    Attributes:
        model (`str`): Name in the table, or the requested name if the table lacks it.
        input (`float`): Tokens sent.
        cached_input (`float`): Tokens sent that the endpoint read from its cache.
        output (`float`): Tokens written.
        reason (`str`): Why the price is unknown; empty if it is known.
    """

    model: str
    input: float
    cached_input: float
    output: float
    reason: str = ""

    @classmethod
    def unknown(cls, model: str, reason: str) -> Price:
        """An unknown price and its reason."""
        return cls(model, math.nan, math.nan, math.nan, reason)

    def cost(self, usage: Usage) -> float:
        """Cost of a usage in US dollars; nan if the price is unknown.

        Example:

        ```python
        >>> Price("m", 2.0, 0.5, 8.0).cost(Usage(1, 1_000_000, 400_000, 100_000))  # 0.6*2 + 0.4*0.5 + 0.1*8
        2.2

        ```
        """
        fresh = usage.prompt_tokens - usage.cached_tokens
        tokens = fresh * self.input + usage.cached_tokens * self.cached_input + usage.completion_tokens * self.output
        return round(tokens / _MILLION, 12)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of models at a date.

    Attributes:
        as_of (`str`): The date.
        source (`str`): Source of the prices.
        batch_share (`float`): Price through the Batch API, as a share of the full price.
        models (`dict[str, Price]`): By model.
    """

    as_of: str
    source: str
    batch_share: float
    models: dict[str, Price]

    def price(self, model: str, *, batch: bool = False) -> Price:
        """Price of a model; a dated snapshot costs the same as its model.

        Args:
            model (`str`): The model's name in requests.
            batch (`bool`, defaults to `False`): Whether to return the price through the Batch API.

        Example:

        ```python
        >>> load_prices().price("gpt-4o-mini-2024-07-18").output
        0.6
        >>> load_prices().price("my-model").reason
        "the price table of 2026-05-07 does not hold 'my-model'"

        ```
        """
        snapshot_of = (
            name
            for name in self.models
            if model.startswith(name) and _SNAPSHOT.fullmatch(model.removeprefix(name)) is not None
        )
        name = model if model in self.models else next(snapshot_of, None)
        if name is None:
            return Price.unknown(model, f"the price table of {self.as_of} does not hold {model!r}")
        price, share = self.models[name], self.batch_share if batch else 1.0
        return Price(name, price.input * share, price.cached_input * share, price.output * share)


def load_prices(path: str | Path | None = None) -> PriceTable:
    """Read a price table.

    Args:
        path (`str` or `Path`, *optional*): YAML file in the form of `prices.yaml`; the packaged file when omitted.

    Returns:
        `PriceTable`: The prices.

    Raises:
        DataError: The file cannot be read, or an entry is not a price.
    """
    path = Path(path) if path is not None else _PACKAGED
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
        as_of, models = str(content["as_of"]), dict(content["models"])
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the price table {path}: {error}; it needs as_of: DATE and models: {{NAME: {{input, output}}}}"
        ) from error
    prices = {str(name): _price(str(name), entry, path) for name, entry in models.items()}
    share = _dollars(content.get("batch_share", 1.0), "batch_share", path)
    return PriceTable(as_of, str(content.get("source", path)), share, prices)


def _price(name: str, entry: object, path: Path) -> Price:
    if not isinstance(entry, dict) or not {"input", "output"} <= entry.keys() <= {"input", "cached_input", "output"}:
        raise DataError(f"{path}: {name} needs input and output, and may have cached_input, but is {entry!r}")
    cost, output = (_dollars(entry[key], f"{name}.{key}", path) for key in ("input", "output"))
    return Price(name, cost, _dollars(entry.get("cached_input", cost), f"{name}.cached_input", path), output)


def _dollars(value: object, what: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < math.inf:
        raise DataError(f"{path}: {what} must be a number, 0 or more, got {value!r}")
    return float(value)


def estimate_tokens(request: Mapping[str, Any], *, at_most: bool = False) -> int:
    """Estimate the prompt tokens of a chat request from its length.

    English prose has about four bytes per token, other scripts and code fewer. After a request the
    count reported by the endpoint replaces the estimate.

    Args:
        request (`Mapping[str, Any]`): The request.
        at_most (`bool`, defaults to `False`): Upper estimate, one token for every two bytes.

    Example:

    ```python
    >>> estimate_tokens({"messages": [{"role": "user", "content": "abcd" * 100}]})
    108

    ```
    """
    schema = request.get("response_format")
    n_bytes = len(json.dumps(schema)) if schema else 0
    n_bytes += sum(len(str(message["content"]).encode("utf-8", "replace")) + 32 for message in request["messages"])
    return math.ceil(n_bytes / (_LEAST_BYTES_PER_TOKEN if at_most else _BYTES_PER_TOKEN))


class Budget:
    """A limit on the cost of finished and pending requests.

    A request reserves its highest likely cost; afterwards the count reported by the endpoint replaces the reservation. So the
    limit holds if no text has more than one token per two bytes and the endpoint respects `max_tokens`.

    Args:
        dollars (`float`): The limit; infinite for none.
        price (`Price`): Price of the model.

    Raises:
        DataError: The limit is finite and the price unknown, or the limit is below 0.
    """

    def __init__(self, dollars: float, price: Price) -> None:
        if not dollars >= 0.0:
            raise DataError(f"a budget must be 0 or more dollars, got {dollars}")
        if math.isfinite(dollars) and price.reason:
            raise DataError(f"a budget needs the model's price: {price.reason}; give a table that has it (--prices)")
        self.dollars = dollars
        self.price = price
        self.usage = Usage()
        self._reserved = 0.0
        self._sharing_limit = [self]

    def beside(self, price: Price) -> Budget:
        """A budget for another model that shares this limit.

        Example:

        ```python
        >>> budget = Budget(1.0, Price("m", 2.0, 2.0, 8.0))
        >>> other = budget.beside(Price("n", 2.0, 2.0, 8.0))
        >>> budget.settle(0.0, Usage(1, 500_000))  # the whole dollar
        >>> other.set_aside({"messages": [{"role": "user", "content": "Hi"}]}) is None
        True

        ```
        """
        other = Budget(self.dollars, price)
        other._sharing_limit = self._sharing_limit
        self._sharing_limit.append(other)
        return other

    @property
    def spent(self) -> float:
        """US dollars spent so far; nan if the price is unknown."""
        return self.price.cost(self.usage)

    def set_aside(self, request: Mapping[str, Any]) -> float | None:
        """Reserve the highest likely cost of a request; `None` if that would exceed the limit."""
        if not math.isfinite(self.dollars):
            return 0.0
        most = self.price.cost(Usage(1, estimate_tokens(request, at_most=True), 0, int(request.get("max_tokens", 0))))
        if sum(budget.spent + budget._reserved for budget in self._sharing_limit) + most > self.dollars:
            return None
        self._reserved += most
        return most

    def settle(self, set_aside: float, usage: Usage) -> None:
        """Replace the reservation of a request by its actual usage."""
        self._reserved -= set_aside
        self.usage += usage


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
