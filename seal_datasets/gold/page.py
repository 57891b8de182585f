"""A page on this machine where a person labels by keyboard, one question at a time."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from typing import Any

from seal_datasets.errors import import_extra
from seal_datasets.gold.desk import Desk
from seal_datasets.gold.items import Item
from seal_datasets.gold.page_style import ANSWER_KEYS, CSS, KEYS
from seal_datasets.labels.surface import surface_features
from seal_datasets.labels.taxonomy import Feature

SKIPS = ("unclear question", "cannot judge", "not my language", "too upsetting")


def build_page(desk: Desk) -> Any:  # noqa: ANN401 - a gradio.Blocks, whose package is optional
    """Build the page.

    Args:
        desk (`Desk`): What is to be labelled; its answers are on disk before the next question comes.

    Returns:
        `gradio.Blocks`: The page, not yet served.

    Raises:
        MissingExtraError: gradio is not installed.
    """
    gradio = import_extra("gradio", purpose="show the page for gold labels")
    most = max((len(_answers(feature)) for feature in desk.taxonomy.features if feature.type != "labels"), default=2)
    one_at_a_time = threading.Lock()
    with gradio.Blocks(title="Gold labels", analytics_enabled=False) as page:
        shown = gradio.HTML(elem_id="shown")
        with gradio.Row(elem_id="answers"):
            buttons = [gradio.Button(elem_id=f"answer-{place + 1}") for place in range(most)]
        choices = gradio.CheckboxGroup(elem_id="choices", show_label=False, container=False)
        save = gradio.Button("Save (Enter)", variant="primary", elem_id="save")
        with gradio.Row(elem_id="skips", visible=False) as skips:
            reasons = [gradio.Button(f"{n} {reason}", elem_id=f"skip-{n}") for n, reason in enumerate(SKIPS, 1)]
        with gradio.Row(elem_id="tools"):
            undo = gradio.Button("u undo", elem_id="undo", size="sm")
            skip = gradio.Button("s skip", elem_id="skip", size="sm")
        outputs = [shown, *buttons, choices, save, skips]

        def state() -> list[Any]:
            return _state(gradio, desk, most)

        def act(change: Callable[..., None]) -> Callable[..., list[Any]]:
            def handle(*given: Any) -> list[Any]:  # noqa: ANN401 - values of the page
                with one_at_a_time:
                    change(*given)
                    return state()

            return handle

        for place, button in enumerate(buttons):
            button.click(act(lambda place=place: _give(desk, place)), None, outputs, show_progress="hidden")
        for reason, button in zip(SKIPS, reasons, strict=True):
            button.click(act(lambda reason=reason: _skip(desk, reason)), None, outputs, show_progress="hidden")
        save.click(act(lambda chosen: _save(desk, chosen)), choices, outputs, show_progress="hidden")
        undo.click(act(desk.undo), None, outputs, show_progress="hidden")
        skip.click(lambda: gradio.Row(visible=True), None, skips, show_progress="hidden")
        page.load(act(lambda: None), None, outputs, js=KEYS, show_progress="hidden")
    return page


def serve(desk: Desk, *, port: int | None = None, open_browser: bool = True) -> None:
    """Serve the page on the loopback interface until it is interrupted.

    Args:
        desk (`Desk`): As for `build_page`.
        port (`int`, *optional*): Port; a free one when omitted.
        open_browser (`bool`, defaults to `True`): Whether to open a browser.
    """
    build_page(desk).launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        inbrowser=open_browser,
        css=CSS,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        show_error=True,
    )


def _state(gradio: Any, desk: Desk, most: int) -> list[Any]:  # noqa: ANN401 - the package
    """What the page shows: the text and question, and the answers' buttons."""
    found = desk.next()
    done, total = desk.progress()
    if found is None:
        thanks = f"{_top(done, total)}<p class='gold-question' id='done'>All questions are answered. Close the page, and stop "
        rest = [gradio.Button(visible=False)] * most
        return [f"{thanks}the command with Ctrl-C.</p>", *rest, gradio.CheckboxGroup(visible=False), *_hidden(gradio)]
    item, feature = found
    several = feature.type == "labels"
    words = [] if several else _answers(feature)
    buttons = [
        gradio.Button(
            f"{_key(feature, place)} {words[place]}" if place < len(words) else "", visible=place < len(words)
        )
        for place in range(most)
    ]
    options = (
        [(f"{_key(feature, place)} {word}", word) for place, word in enumerate(feature.answers)] if several else []
    )
    return [
        _show(item, feature, done, total),
        *buttons,
        gradio.CheckboxGroup(choices=options, value=[], visible=several),
        gradio.Button(visible=several),
        gradio.Row(visible=False),
    ]


def _hidden(gradio: Any) -> list[Any]:  # noqa: ANN401 - the package
    return [gradio.Button(visible=False), gradio.Row(visible=False)]


def _show(item: Item, feature: Feature, done: int, total: int) -> str:
    """The text, escaped, and the question; blurred where the text is crude."""
    crude = surface_features(f"{item.prompt} {item.response}").get("surface_profanity")
    blur = " gold-blur" if crude else ""
    note = " <span class='gold-hint'>blurred for crude words; <kbd>b</kbd> shows it</span>" if crude else ""
    return (
        f"{_top(done, total)}<div class='gold-label'>The dialogue{note}</div>"
        f"<pre class='gold-text{blur}' id='prompt'>{html.escape(item.prompt.strip())}</pre>"
        f"<div class='gold-label'>The last response</div>"
        f"<pre class='gold-text gold-response{blur}' id='response'>{html.escape(item.response.strip())}</pre>"
        f"<p class='gold-question' id='question'>{html.escape(feature.question)}</p>"
        "<span class='gold-hint'>keys: the letter or number on a button; <kbd>u</kbd> takes the last answer back</span>"
    )


def _top(done: int, total: int) -> str:
    share = 100 * done / max(total, 1)
    return (
        f"<div class='gold-top'><span>Gold labels</span><span id='progress'>{done:,} of {total:,} questions</span></div>"
        f"<div class='gold-bar'><i style='width: {share:.1f}%'></i></div>"
    )


def _answers(feature: Feature) -> list[str]:
    return ["yes", "no"] if feature.type == "bool" else list(feature.answers)


def _key(feature: Feature, place: int) -> str:
    keys = "yn" if feature.type == "bool" else ANSWER_KEYS
    return keys[place : place + 1]


def _give(desk: Desk, place: int) -> None:
    found = desk.next()
    if found is None or found[1].type == "labels" or place >= len(_answers(found[1])):
        return
    item, feature = found
    label = place == 0 if feature.type == "bool" else feature.values[place][1]
    desk.answer(item, feature, label)


def _save(desk: Desk, chosen: list[str]) -> None:
    found = desk.next()
    if found is not None and found[1].type == "labels":
        desk.answer(*found, [answer for answer in found[1].answers if answer in chosen])


def _skip(desk: Desk, reason: str) -> None:
    found = desk.next()
    if found is not None:
        desk.answer(*found, None, reason)
