"""What can be wrong or suspicious with a pair, by name; such a pair is kept, and its problems are listed beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from seal_datasets.data.dialogue import HUMAN_MARKER

PROBLEMS: dict[str, str] = {
    "unreadable_row": "a cell of the row does not hold what its form needs",
    "missing_prompt": "the prompt is null, blank, or not separable from the response",
    "missing_chosen": "the chosen response is null",
    "missing_rejected": "the rejected response is null",
    "no_assistant_turn": "a dialogue has no assistant turn at its end, and so no response",
    "prompts_differ": "the two responses answer different prompts",
    "not_only_text": "a message has an image or another part that is no text, which is not supported",
    "empty_chosen": "the chosen response is blank",
    "empty_rejected": "the rejected response is blank",
    "identical_responses": "both responses are the same text",
    "identical_without_thinking": "both responses are the same text once their <think> parts are dropped",
    "human_turn_in_response": "a response continues into a human turn",
    "template_in_response": "a response holds marks of a chat template, which a model would see twice",
    "prompt_in_response": "both responses repeat the prompt",
    "thinking_in_response": "a response holds a <think> part, which many chat templates drop",
    "tool_turn": "a turn is a tool's",
    "tool_calls": "an assistant turn calls a tool; the call is kept as JSON text",
    "developer_turn": "a turn has the role 'developer'",
    "later_system_turn": "a system turn stands after another turn",
    "odd_role": "a turn has a role other than system, user, assistant and tool",
    "reasoning_not_read": "a message has its reasoning in a field of its own, which is not read",
    "lone_surrogate": "a text has U+FFFD, in place of half a character (a lone surrogate) or of bytes that were no text",
}
UNUSABLE = frozenset(
    {
        "unreadable_row",
        "missing_prompt",
        "missing_chosen",
        "missing_rejected",
        "no_assistant_turn",
        "prompts_differ",
        "not_only_text",
    }
)
REPLACEMENT = "\ufffd"
_MIN_REPEATED = 8  # characters: a shorter prompt ("Hi") may begin an answer by itself

_TEMPLATE = re.compile(
    r"<\|(?:im_start|im_end|im_sep|eot_id|start_header_id|end_header_id|begin_of_text|end_of_text|endoftext|user|assistant"
    r"|system|end|return|channel|start|message|prompter|end_of_turn|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN)\|>"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</s>\s*\Z|^### (?:Instruction|Response|Human|Assistant):",
    re.MULTILINE,
)
_TEMPLATE_HINTS = ("<|", "_of_turn>", "INST]", "SYS>>", "</s>", "### ")
_THINKING = re.compile(r"<think>.*?(?:</think>\s*|\Z)", re.DOTALL)


def suspicions(prompt: str | None, last_turn: str | None, texts: Iterable[str | None]) -> list[str]:
    """Problems that two whole responses suggest.

    Args:
        prompt (`str`, *optional*): Text of the prompt.
        last_turn (`str`, *optional*): Its last turn.
        texts (`Iterable[str | None]`): The chosen and the rejected response.

    Returns:
        `list[str]`: Names from `PROBLEMS`.

    Example:

    ```python
    >>> suspicions("2+2?", "2+2?", ["<think>four</think>4", "4"])
    ['identical_without_thinking', 'thinking_in_response']

    ```
    """
    known = [text for text in texts if text is not None]
    both = len(known) == 2
    found = []
    thinking = any("<think>" in text for text in known)
    if thinking and both and known[0] != known[1]:
        first, second = (_THINKING.sub("", text).strip() for text in known)
        if first == second:
            found.append("identical_without_thinking")
    if any(HUMAN_MARKER in text for text in known):
        found.append("human_turn_in_response")
    if any(map(_has_template, known)):
        found.append("template_in_response")
    if both and _both_begin_with(known, (prompt, last_turn)):
        found.append("prompt_in_response")
    if thinking:
        found.append("thinking_in_response")
    if any(REPLACEMENT in text for text in (*known, prompt or "")):
        found.append("lone_surrogate")
    return found


def _both_begin_with(texts: list[str], prompts: tuple[str | None, ...]) -> bool:
    first, second = (text.lstrip() for text in texts)
    for prompt in prompts:
        start = prompt.strip() if prompt else ""
        if len(start) >= _MIN_REPEATED and first.startswith(start) and second.startswith(start):
            return True
    return False


def _has_template(text: str) -> bool:
    # One of these characters and one of the hints stand in every match; most texts hold none.
    if "<" not in text and "]" not in text and "#" not in text:
        return False
    return any(hint in text for hint in _TEMPLATE_HINTS) and _TEMPLATE.search(text) is not None
