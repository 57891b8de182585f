"""Reward functions for TRL's GRPO that a training logs and, at weight 0, does not learn from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seal_datasets.data.cells import Turn, read_turns
from seal_datasets.data.prompts import Prompt, text_prompt, turns_prompt
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError
from seal_datasets.rewards.open import is_served, open_scorer
from seal_datasets.rewards.scorer import Scorer

Text = str | Sequence[Mapping[str, Any]]
"""A prompt or completion as TRL gives it: a text, or messages."""


class RewardFunc:
    """A reward function with TRL's signature; GRPO logs its mean as `rewards/<name>/mean`.

    Attributes:
        name (`str`): Its name in the log, also `__name__`.
    """

    def __init__(self, name: str, rewards: Callable[[list[Exchange]], list[float | None]]) -> None:
        self.name = self.__name__ = name
        self._rewards = rewards

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **_: object) -> list[float | None]:
        """The reward of each completion; `None` for one that has none, which TRL leaves out of the mean.

        Args:
            prompts (`Sequence[str]` or `Sequence[list[dict]]`): Texts, or conversations.
            completions (`Sequence[str]` or `Sequence[list[dict]]`): One for each prompt.
            **_ (`object`): What else TRL passes, e.g. columns of the dataset.

        Returns:
            `list[float | None]`: One for each completion, in order.
        """
        texts = [as_exchange(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        found = iter(self._rewards([text for text in texts if text is not None]))
        return [None if text is None else next(found) for text in texts]


def as_reward_func(
    source: str | Path | Scorer | Callable[[str], float | bool], *, name: str | None = None
) -> RewardFunc:
    """Make a reward function for TRL's GRPO of a reward model, local or served, or of a feature of the response.

    Give it weight 0 in `reward_weights`: its mean over the training then shows what the policy is drifting to, and changes
    no step. A length that rises with the reward, while another reward model sees nothing better, is an early sign of hacking.

    Args:
        source (`str`, `Path`, `Scorer` or `Callable`): A reward model as for `open_scorer`, an open one, or a function of the
            response, such as `labels.surface.log_tokens`. A text that is too long loses the start of its prompt; for a served
            model it gets no reward.
        name (`str`, *optional*): Name in the log; the function's, or the last part of the model's id, when omitted.

    Returns:
        `RewardFunc`: A function of `prompts` and `completions`, plain or conversational. It is computed in the process that
            calls it and draws no random numbers. A completion that your own functions leave without a reward
            gets the reward 0 from TRL once any function scores it; at weight 0 too.

    Raises:
        DataError: The text of a model is wrong, or an open model has no name.
        ModelError: The model cannot be used.

    Example:

    ```python
    >>> from seal_datasets.labels.surface import question_marks
    >>> reward = as_reward_func(question_marks)
    >>> reward.name, reward(prompts=["Hi", "Hi"], completions=["Who?", [{"role": "assistant", "content": "Why? How?"}]])
    ('question_marks', [1.0, 2.0])

    ```
    """
    if callable(source) and not isinstance(source, Scorer):
        feature: Callable[[str], float | bool] = source
        return RewardFunc(
            name or str(getattr(source, "__name__", type(source).__name__)),
            lambda texts: [float(feature(text.response)) for text in texts],
        )
    if isinstance(source, Scorer) and name is None:
        raise DataError("an open reward model needs a name for the log: as_reward_func(scorer, name='judge')")
    # Opened now: loading draws random numbers, which would change a training that has begun.
    if isinstance(source, Scorer):
        scorer = source
    else:  # what is sent to a server as text cannot be cut here
        scorer = open_scorer(str(source), over_length="skip" if is_served(str(source)) else "truncate")
    return RewardFunc(name or _name_of(str(source)), lambda texts: [each.reward for each in scorer.score(texts)])


def as_exchange(prompt: Text, completion: Text) -> Exchange | None:
    """A prompt and its completion as a reward model takes them.

    Args:
        prompt (`str` or `list[dict]`): A text, or the turns of a conversation.
        completion (`str` or `list[dict]`): A text, or messages, of which the last is the response.

    Returns:
        `Exchange`: With earlier messages of the completion as turns of the prompt; `None` where there is no text.

    Example:

    ```python
    >>> text = as_exchange([{"role": "user", "content": "Hi"}], [{"role": "assistant", "content": "Hello!"}])
    >>> text.conversation, text.response
    ([{'role': 'user', 'content': 'Hi'}], 'Hello!')

    ```
    """
    earlier: list[Turn] = []
    response: str | None = None
    if isinstance(completion, str):
        response = completion
    elif turns := read_turns(list(completion), "completion"):
        *earlier, last = turns
        response = last.content
    before = _prompt_of(prompt, earlier)
    if response is None or before.text is None or before.conversation is None:
        return None
    turns_before = [{"role": turn["role"], "content": turn["content"]} for turn in before.conversation]
    return Exchange(before.text, turns_before, response)


def _prompt_of(prompt: Text, earlier: list[Turn]) -> Prompt:
    if isinstance(prompt, str) and not earlier:
        return text_prompt(prompt)
    turns = read_turns([{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt), "prompt")
    return turns_prompt([*turns, *earlier])


def _name_of(model: str) -> str:
    """The last part of a model's id, path or address."""
    named = re.sub(r"^(dpo|dpo-length):([^@]*)@.*$", r"\2", model)
    if is_served(model):
        named = model.rpartition("#")[2].partition("@")[0]
    return named.rstrip("/").rpartition("/")[2]
