"""Finished audits whose page is looked at: one of hostile texts, and one with a baseline and held-out pairs."""

import shutil

import numpy as np
import pytest
from datasets import Dataset

from seal_datasets.audit.precomputed import audit_own_rewards
from seal_datasets.report.page import pair_columns
from seal_datasets.report.write import write_report

HOSTILE = (
    "<script>document.title='pwned'</script>",
    "</script><img src=x onerror=document.title='pwned'>",
    "<a href=\"javascript:document.title='pwned'\">click</a> [x](javascript:alert(1))",
    "\u202eright to left\u202c and \x00 NUL",
    "x" * 100_000,
    "{{ 7 * 7 }} {% raw %} <!-- --> ]]> &amp; damn shit",
)


def rows_of(n, models, *, seed=0, partition=False, texts=HOSTILE):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        text = texts[i % len(texts)]
        row = {"prompt": f"{i}: {text}", "chosen": f"Yes, {text} {'very ' * (i % 9)}", "rejected": f"No, {i} {text}"}
        for k, name in enumerate(models):
            row[f"{name}_c"], row[f"{name}_r"] = (float(each) for each in rng.normal(size=2) + np.array([0.4 * k, 0]))
        if partition:
            row["partition"] = "train" if i % 2 else "heldout"
        rows.append(row)
    return rows


def audit(folder, n=60, models=("rm",), **options):
    pairs = Dataset.from_list(rows_of(n, models, **options))
    audit_own_rewards(pairs, folder, {name: (f"{name}_c", f"{name}_r") for name in models})
    return folder


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    return audit(tmp_path_factory.mktemp("hostile") / "audit")


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    texts = (
        "Fine, thank you.",
        "I am sorry, I cannot.",
        "- one\n- two",
        "A longer answer, which says more than others do.",
    )
    return audit(tmp_path_factory.mktemp("two") / "audit", 300, ("before", "after"), partition=True, texts=texts)


@pytest.fixture(scope="session")
def sampled(two, tmp_path_factory):
    """The audit with a baseline, and its page as one of many pairs has it: with the texts of 40."""
    folder = tmp_path_factory.mktemp("sampled") / "audit"
    shutil.copytree(two, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_columns, "MOST_SAMPLED", 40)
        write_report(folder)
    return folder
