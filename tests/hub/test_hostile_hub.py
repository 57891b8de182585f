"""A Hub that repeats the token, or a login page in its place: each verb ends with one line, without the token."""

import json

import pytest

from seal_datasets.labels.taxonomy import load_taxonomy

TOKEN = "a-token-without-a-known-form"
ECHO = {"X-Error-Message": f"the token {TOKEN} is \x1b[31mwrong", "X-Error-Code": "Odd", "X-HF-Warning": f"a; {TOKEN}"}
LOGIN = f"<html><script>alert(1)</script>log in, {TOKEN}\x1b[2J</html>".encode()
ANSWERS = {
    "400 with the token": (400, ECHO, {"error": TOKEN}),
    "401 with the token": (401, ECHO, {"error": TOKEN}),
    "418 with the token": (418, ECHO, TOKEN.encode()),
    "a login page": (200, {"X-Repo-Commit": "a" * 40}, LOGIN),
    "an empty object": (200, {"X-Repo-Commit": "a" * 40}, {}),
    "a list": (200, {}, [TOKEN]),
}


@pytest.fixture(scope="module")
def commands(audit_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"{n}?", "chosen": "a", "rejected": "b"}) + "\n" for n in range(3)))
    taxonomy = folder / "taxonomy.yaml"
    features = [{"name": "polite", "role": "spoiler", "level": "response", "type": "bool", "question": "Polite?"}]
    taxonomy.write_text(json.dumps({"name": "t", "version": "1", "features": features}))
    load_taxonomy(taxonomy)
    remote = ["--labeler", "http://127.0.0.1:9/v1", "--labeler-model", "m"]
    return {
        "audit": ["audit", "me/data", "--labeler", "none", "--out", folder / "a"],
        "compare": ["compare", "me/a", "me/b"],
        "featurize": ["featurize", "me/data", "--labeler", "none", "--out", folder / "f.parquet"],
        "taxonomy": ["featurize", data, *remote, "--taxonomy", "me/taxonomy", "--out", folder / "t.parquet"],
        "score": ["score", data, "--model", "rm=me/model", "--out", folder / "s.parquet"],
        "doctor": ["doctor", "me/model"],
        "similarity": [
            *("rewrite", data, "--similarity-model", "me/encoder", "--share", "0.5", "--out", folder / "r.parquet"),
            *("--rewriter", "http://127.0.0.1:9/v1", "--rewriter-model", "m"),
        ],
        "publish dataset": ["publish", "dataset", audit_folder, "--repo", "me/a", "--ids-only"],
        "publish report": ["publish", "report", audit_folder, "--repo", "me/a", "--model-repo", "me/m"],
        "publish taxonomy": ["publish", "taxonomy", taxonomy, "--repo", "me/t"],
        "publish metrics": ["publish", "metrics", "reward_shift", "--namespace", "me"],
    }


NAMES = ["audit", "compare", "featurize", "taxonomy", "publish dataset", "publish report", "publish taxonomy"]
SLOW = ["score", "doctor", "similarity", "publish metrics"]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_whatever_the_hub_answers_a_verb_ends_with_a_line_and_no_token(name, answer, commands, hub, seal):
    status, headers, body = ANSWERS[answer]
    for method in ("GET", "HEAD", "POST"):
        hub.fault(method, "", times=10**6, status=status, headers=headers, body=body)
    done = seal(*commands[name], token=TOKEN)
    hub.heal()
    # The Hub's client keeps one of the answers for other commands.
    (seal.folder / "home" / ".agent_harnesses.json").unlink(missing_ok=True)
    assert done.code == 2, done.said
    assert TOKEN not in done.said
    assert "Traceback" not in done.said
    assert "\x1b" not in done.said
    assert f"seal {commands[name][0]}: " in done.said
