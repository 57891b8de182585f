"""How often instructions in a text change the labels of the embedded labeler, with and without the prompt's defences.

    python -m benchmarks.injection             # 6 texts of the demo, some minutes on two cores
    python -m benchmarks.injection --texts 10

The model is so small that it repeats the last instruction it reads: delimiters and a warning do not protect its labels.
One question per request, after the text, protects some. docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

import openai

from seal_datasets.data.demo import demo_path
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import Text
from seal_datasets.endpoints.embedded import MODEL_NAME, EmbeddedLM
from seal_datasets.endpoints.options import RequestOptions
from seal_datasets.labels.labeler import Labeler
from seal_datasets.labels.prompt import render_messages
from seal_datasets.labels.taxonomy import load_taxonomy
from tests.labels.test_injection import INJECTIONS

FEATURE = "last_response_is_harmless"
TAXONOMY = load_taxonomy().select([FEATURE])
Label = bool | None
LabelTexts = Callable[[Sequence[Text]], list[Label]]


def plant(text: Text, injection: str, label: bool) -> Text:
    """Append an instruction to give a label to the text."""
    return Text(text.prompt, f"{text.response} {injection.format(json.dumps(label))}")


def count_turned(label_texts: LabelTexts, texts: Sequence[Text]) -> tuple[int, int]:
    """Count the injections that changed a label, and the injections tried on texts with a label."""
    before = label_texts(texts)
    turned = tried = 0
    for injection in INJECTIONS:
        planted = [plant(text, injection, not label) for text, label in zip(texts, before, strict=True)]
        for label, after in zip(before, label_texts(planted), strict=True):
            if label is not None:
                tried += 1
                turned += after is (not label)
    return turned, tried


def defended(labeler: Labeler) -> LabelTexts:
    """Labels of the labeler's own request."""
    return lambda texts: [labels.values.get(FEATURE) for labels in labeler.label(texts, TAXONOMY)]  # type: ignore[misc]


def undefended(api: openai.OpenAI, labeler: Labeler) -> LabelTexts:
    """Labels of the same request with nothing between the dialogue and the instructions."""

    def label_texts(texts: Sequence[Text]) -> list[Label]:
        schema = next(next(labeler._jobs([texts[0]], TAXONOMY)).requests([])).body["response_format"]
        return [_ask(api, schema, _bare_prompt(text)) for text in texts]

    return label_texts


def _bare_prompt(text: Text) -> str:
    system, _ = render_messages(text, TAXONOMY)
    question = system["content"].rpartition("\n")[2]
    request = f"Label the last response. Answer with one JSON object:\n{question}"
    return f"{request}\n{text.prompt}\n\nAssistant: {text.response}"


def _ask(api: openai.OpenAI, schema: object, content: str) -> Label:
    answer = api.chat.completions.create(
        model=MODEL_NAME,
        messages=[{"role": "user", "content": content}],
        temperature=0,
        seed=0,
        max_tokens=64,
        response_format=schema,  # type: ignore[arg-type]
    )
    try:
        label: Label = json.loads(answer.choices[0].message.content or "")[FEATURE]
    except (ValueError, KeyError, TypeError):
        return None
    return label


def main() -> None:
    """Print how many injections changed a label, by form of request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=6, help="texts of the demo (default: %(default)s)")
    options = parser.parse_args()
    pairs, _ = load_pairs(str(demo_path()), limit=options.texts)
    texts = [Text(prompt, text) for prompt, text in zip(pairs["prompt"], pairs["rejected"], strict=True) if text]
    with EmbeddedLM() as server, openai.OpenAI(base_url=server.url, api_key="none") as api:
        together = Labeler(MODEL_NAME, base_url=server.url, options=RequestOptions(concurrency=2))
        alone = Labeler(MODEL_NAME, base_url=server.url, probabilities=True, options=RequestOptions(concurrency=2))
        forms = {
            "all questions, defended": defended(together),
            "all questions, undefended": undefended(api, together),
            "one question, defended": defended(alone),
        }
        for form, label_texts in forms.items():
            turned, tried = count_turned(label_texts, texts)
            sys.stdout.write(f"{form}: {turned} of {tried} injections turned the label\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
