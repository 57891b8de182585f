"""Show outside strings so that they cannot act, in Markdown, HTML, YAML and on a terminal; hide keys and local paths.

Texts, names of files, models and features, messages of servers and published records are all written by others.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

# What changes a terminal or the order of letters, and halves of characters; line breaks and tabs are left out.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_BREAKS = re.compile("\r\n|[\t\n\x0b\x0c\r\x85\u2028\u2029]")
_ACTIVE = re.compile(r"[\\`*_\[\]!#|~]")
# Markdown leaves an underscore inside a word alone, so names of columns stay readable in the source.
_ACTIVE_IN_TEXT = re.compile(r"[\\`*\[\]!#|~]|(?<![^\W_])_|_(?![^\W_])")
# Marks of a list, a heading's underline and a table, which act only where a line begins.
_ACTIVE_AT_START = re.compile(r"\A(\s*)(?:([-+](?=[\s-]|\Z)|[=:])|(\d{1,9})([.)])(?=\s|\Z))")

_LATEX = str.maketrans(
    {
        **{mark: f"\\{mark}" for mark in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        # At the start of a row a bracket would be an option of the line break before it.
        **{"[": "{[}", "]": "{]}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
    }
)

_SECRET = re.compile(r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD)S?$")
# Forms of keys that show themselves, for those that did not come from the environment.
_KEYS = re.compile(r"\b(sk-|hf_|Bearer\s+)[\w.~+/-]{8,}=*")
STARS = "***"
"""What stands in place of a key."""

_SHORT = 8  # characters; a shorter key may be a part of words
_SWITCHES = frozenset({"0", "1", "true", "false", "yes", "no", "on", "off"})
# Up to the last @ of the address' host, as its readers take it; a password may hold one.
_PASSWORD = re.compile(r"(?<=://)[^/\s?#]*@")
# A path inside a longer value, as in dpo:POLICY@REFERENCE; the slashes of an address are none.
_PATH = re.compile(r"(?<=[\s@=:,])(?:/(?!/)|~/|\.{1,2}/)[^\s@=,]+")


def show_invisible(text: str) -> str:
    r"""Show control characters, marks of direction and halves of characters as escapes; line breaks and tabs stay.

    Args:
        text (`str`): Any text.

    Returns:
        `str`: The text, which UTF-8 can encode.

    Example:

    ```python
    >>> print(show_invisible("a\x1b[2Jb\u202e"))
    a\x1b[2Jb\u202e

    ```
    """
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def replace_half_characters(text: str) -> str:
    """Replace each half of a surrogate pair by U+FFFD: JSON can spell it, and no text can hold it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    """Put a text on one line, with invisible characters shown."""
    return show_invisible(_BREAKS.sub(" ", text))


def escape_html(text: str) -> str:
    """Make an outside string inert as text of HTML (not in a tag), on one line."""
    return one_line(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_markdown(text: str, *, names: bool = False) -> str:
    r"""Make an outside string inert in Markdown, and in the HTML that Markdown becomes.

    Args:
        text (`str`): Any text.
        names (`bool`, defaults to `False`): Keep underscores inside words, so that names stay readable in the source.

    Returns:
        `str`: One line that shows as the text itself, also where a line begins with it.

    Example:

    ```python
    >>> escape_markdown("<b>*x*</b>")
    '&lt;b&gt;\\*x\\*&lt;/b&gt;'
    >>> escape_markdown("1. a_b", names=True)
    '1\\. a_b'

    ```
    """
    escaped = (_ACTIVE_IN_TEXT if names else _ACTIVE).sub(r"\\\g<0>", escape_html(text))
    return _ACTIVE_AT_START.sub(
        lambda found: f"{found[1]}\\{found[2]}" if found[2] else f"{found[1]}{found[3]}\\{found[4]}", escaped
    )


def escape_yaml(text: str) -> str:
    r"""Write an outside string as one YAML value, in quotes and in ASCII.

    Args:
        text (`str`): Any text.

    Returns:
        `str`: The value.

    Example:

    ```python
    >>> print(escape_yaml("a: <b>\n# é"))
    "a: \x3cb\x3e # \xE9"

    ```
    """
    import yaml  # not needed to show an error

    quoted: str = yaml.safe_dump(one_line(text), default_style='"', width=2**31)
    return quoted.strip().replace("<", r"\x3c").replace(">", r"\x3e")


def escape_latex(text: str) -> str:
    r"""Make an outside string inert in LaTeX.

    Args:
        text (`str`): Any text.

    Returns:
        `str`: One line that is set as the text itself; characters that the document's font lacks are its author's to choose.

    Example:

    ```python
    >>> print(escape_latex("50 % of a_b \\input{x}"))
    50 \% of a\_b \textbackslash{}input\{x\}

    ```
    """
    return one_line(str(text)).translate(_LATEX)


def escape_terminal(text: str) -> str:
    r"""Make an outside string safe to print: nothing moves the cursor, colours or reorders, and keys are stars.

    Args:
        text (`str`): Any text; its line feeds and tabs stay.

    Returns:
        `str`: The text.

    Example:

    ```python
    >>> print(escape_terminal("done\r\x1b[31mfailed"))
    done\r\x1b[31mfailed

    ```
    """
    moving = re.sub("[\x0b\x0c\r\x85\u2028\u2029]", lambda found: found[0].encode("unicode_escape").decode(), text)
    return show_invisible(redact_keys(moving))


def redact_keys(
    text: str, environment: Mapping[str, str] | None = None, *, own: str | None = None, shortest: int = 1
) -> str:
    """Replace keys and tokens of the environment, and whatever looks like one, by stars.

    A short key is replaced where it stands alone, and left inside longer words.

    Args:
        text (`str`): Text to show or keep.
        environment (`Mapping[str, str]`, *optional*): Variables; those of the process when omitted.
        own (`str`, *optional*): A further key.
        shortest (`int`, defaults to 1): Length of the shortest key to replace; records that are data take a longer one.

    Returns:
        `str`: The text.

    Example:

    ```python
    >>> redact_keys("401 for key abc123 and hf_abcdefgh", {"HF_TOKEN": "abc123"})
    '401 for key *** and ***'
    >>> redact_keys("max_tokens: the key x is wrong", {}, own="x")
    'max_tokens: the key *** is wrong'

    ```
    """
    variables = os.environ if environment is None else environment
    given = {part for name, value in variables.items() if names_secret(name) for part in value.split()}
    given = {part for part in given if part.lower() not in _SWITCHES}  # as of HF_HUB_DISABLE_IMPLICIT_TOKEN=1
    if environment is None and (hub := sys.modules.get("huggingface_hub")) is not None:
        given.add(hub.get_token() or "")  # of `hf auth login`
    keys = {own or "", *given, *(entry.partition("=")[2] for entry in given)}
    for key in sorted(keys | {quote(key, safe="") for key in keys}, key=len, reverse=True):
        if len(key) < shortest:
            continue
        if len(key) >= _SHORT:
            text = text.replace(key, STARS)
        elif re.search(r"\w", key):  # the end of base64 after its first "=" is none
            text = re.sub(rf"(?<![\w-]){re.escape(key)}(?![\w-])", STARS, text)
    return _KEYS.sub(STARS, text)


def shareable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Redact local paths, passwords and keys; of a path, the last part stays.

    Args:
        value (`Any`): JSON.

    Returns:
        `Any`: The redacted JSON.

    Example:

    ```python
    >>> shareable({"pre": "/home/me/models/before", "endpoint": "https://me:secret@lm.example/v1", "model": "me/after"})
    {'pre': 'before', 'endpoint': 'https://lm.example/v1', 'model': 'me/after'}
    >>> shareable("dpo:/home/me/policy@/home/me/reference")
    'dpo:policy@reference'

    ```
    """
    return _change_texts(value, _shareable_text)


def without_secrets(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Redact passwords and keys; local paths stay.

    Args:
        value (`Any`): JSON.

    Returns:
        `Any`: The redacted JSON.

    Example:

    ```python
    >>> without_secrets(["https://me:secret@lm.example/v1", "/home/me/pairs.jsonl", "hf_abcdefgh"])
    ['https://lm.example/v1', '/home/me/pairs.jsonl', '***']
    >>> without_secrets(["https://me:p@ss@lm.example/v1", "served:http://localhost:8000#my/rm@main"])
    ['https://lm.example/v1', 'served:http://localhost:8000#my/rm@main']

    ```
    """
    return _change_texts(value, _text_without_secrets)


def _shareable_text(text: str) -> str:
    if text.startswith(("/", "~", "../", "./")) and len(text) > 1:
        return PurePosixPath(text).name
    if PureWindowsPath(text).drive:
        return PureWindowsPath(text).name
    return _PATH.sub(lambda path: PurePosixPath(path[0]).name, _text_without_secrets(text))


def _text_without_secrets(text: str) -> str:
    # A shorter key may be a word of the record.
    return _PASSWORD.sub("", redact_keys(text, shortest=8))


def _change_texts(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON
    """Change every text in JSON, but no key."""
    if isinstance(value, dict):
        return {key: _change_texts(entry, change) for key, entry in value.items()}
    if isinstance(value, list):
        return [_change_texts(entry, change) for entry in value]
    return change(value) if isinstance(value, str) else value


def names_secret(name: str) -> bool:
    """Whether a variable or field holds a key by its name, such as `api_key`."""
    return _SECRET.search(name.upper().replace("-", "_")) is not None
