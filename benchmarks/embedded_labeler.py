"""The embedded language model as a labeler of the demo: asked one question at a time, and calibrated on gold labels.

python -m benchmarks.embedded_labeler --texts 160 --examples 0     # or 2 of each answer; docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from seal_datasets import estimate, load_pairs, load_taxonomy, schema
from seal_datasets.data.demo import demo_path
from seal_datasets.data.texts import Text, pair_text
from seal_datasets.endpoints.embedded import EmbeddedLM
from seal_datasets.labels.prompt import ONE_QUESTION, QUESTION, render_text

FEATURES = [f"last_response_is_{name}" for name in ("harmless", "helpful", "honest", "refusal", "eloquent")]
POOL = 120


def gold_texts() -> list[tuple[Text, dict[str, bool], str]]:
    """Texts of the demo with their gold labels and prompts, in a random order of pairs."""
    pairs, _ = load_pairs(str(demo_path()))
    batch, rows = pairs[:], list(range(len(pairs)))
    random.Random(0).shuffle(rows)
    found = []
    for row in rows:
        for side in schema.SIDES:
            text = pair_text(batch, row, side)
            gold = {name: batch[schema.gold_column(name, side)][row] for name in FEATURES}
            if isinstance(text, Text) and all(value is not None for value in gold.values()):
                found.append((text, gold, batch[schema.PROMPT_ID][row]))
    return found


def log_odds(api: openai.OpenAI, messages: list[dict[str, str]]) -> float:
    """Log-odds of Yes against No in the first token of an answer."""
    answer = api.chat.completions.create(
        model="x", messages=messages, max_tokens=1, temperature=0, logprobs=True, top_logprobs=10
    )
    top = answer.choices[0].logprobs.content[0].top_logprobs
    mass = {word: sum(math.exp(t.logprob) for t in top if t.token.strip().lower() == word) for word in ("yes", "no")}
    return math.log(max(mass["yes"], 1e-6)) - math.log(max(mass["no"], 1e-6))


def main() -> None:
    """Print a row for each feature."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=160)
    parser.add_argument("--examples", type=int, default=0)
    options = parser.parse_args()
    texts, taxonomy = gold_texts(), load_taxonomy()
    pool = sorted(texts[:POOL], key=lambda each: len(each[0].prompt) + len(each[0].response))
    taught = {prompt for *_, prompt in pool}
    judged = [each for each in texts[POOL : POOL + options.texts] if each[2] not in taught]
    groups = np.array([prompt for *_, prompt in judged])

    def messages(text: Text, name: str) -> list[dict[str, str]]:
        question = QUESTION.format(taxonomy[name].question)
        shown = [{"role": "system", "content": ONE_QUESTION}]
        for answer in (True, False):
            for example, gold, _ in [each for each in pool if each[1][name] is answer][: options.examples]:
                shown.append({"role": "user", "content": render_text(example) + question})
                shown.append({"role": "assistant", "content": "Yes" if gold[name] else "No"})
        return [*shown, {"role": "user", "content": render_text(text) + question}]

    with EmbeddedLM() as lm, openai.OpenAI(base_url=lm.url, api_key="none") as api, ThreadPoolExecutor(4) as pools:
        for name in FEATURES:
            gold = np.array([labels[name] for _, labels, _ in judged], dtype=int)
            odds = np.array(list(pools.map(lambda each, name=name: log_odds(api, messages(each[0], name)), judged)))
            folds = {"groups": groups, "cv": GroupKFold(5), "method": "predict_proba"}
            fitted = cross_val_predict(LogisticRegression(), odds[:, None], gold, **folds)[:, 1]
            worth = estimate.probability_worth(1 / (1 + np.exp(-odds)), gold, groups=groups)
            sys.stdout.write(
                f"{name}: {len(gold)} texts, commonest {max(gold.mean(), 1 - gold.mean()):.3f}, "
                f"asked {((odds > 0) == gold).mean():.3f}, calibrated {((fitted > 0.5) == gold).mean():.3f}, "
                f"AUC {worth.auc:.3f}\n"
            )


if __name__ == "__main__":
    main()
