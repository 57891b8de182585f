"""A seeded fuzz of the command line: each verb over small damaged files and odd values of options."""

import gzip
import json
import random
import shutil

import pytest

from seal_datasets.cli import main
from tests.report.test_write import folder as audit  # noqa: F401

ROWS = [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no", "g": 1.0, "h": 0.5} for n in range(4)]
NUMBERS = ("0", "1", "-1", "3", "1e999", "nan", "x", "", "999999999999999999999")
REMOTE = ("--labeler", "http://127.0.0.1:9/v1", "--labeler-model", "m")
# Of each verb: words that it needs, and options with their values; `@` stands for an input file, `!` for an output.
VERBS = {
    "audit": (
        ["@", "--rewards=pre=g,h", "--rewards=post=h,g", "--out", "!"],
        ["--limit", "--seed", "--split", "--gold"],
    ),
    "featurize": (["@", "--labeler", "none", "--out", "!.parquet"], ["--split", "--taxonomy", "--gold", "--limit"]),
    "labelers": (["@", "--labelers", "a@http://127.0.0.1:9/v1", "b@http://127.0.0.1:9/v1"], ["--sample", "--repeat"]),
    "score": (["@", "--model", "rm=@", "--out", "!.parquet"], ["--split", "--max-length", "--head", "--precision"]),
    "doctor": (["@"], ["--limit", "--processes", "--split", "--out"]),
    "rewrite": (
        ["@", "--rewriter", "http://127.0.0.1:9/v1", "--rewriter-model", "m", "--out", "!.parquet"],
        ["--share"],
    ),
    "report": (["@"], ["--check"]),
    "compare": (["@", "@"], ["--out"]),
    "subset": (["@", "--drop", "resistant", "--out", "!.parquet"], ["--tie-band", "--form", "--flag"]),
    "store": (["KIND", "@"], ["--out", "--before", "--finish-reason"]),
    "install-metrics": (["METRIC"], ["--out"]),
    "publish": (["dataset", "@", "--repo", "me/a", "--ids-only", "--dry-run"], ["--source-license"]),
}


@pytest.fixture(scope="module")
def inputs(audit, tmp_path_factory):  # noqa: F811
    """Good, damaged and odd files and folders."""
    place = tmp_path_factory.mktemp("fuzz")
    text = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    contents = {
        "good.jsonl": text.encode(),
        "empty.jsonl": b"",
        "cut.jsonl": text.encode()[:-20],
        "nul.jsonl": text.replace("yes", "a\\u0000b").encode() + b"\0",
        "latin.jsonl": text.replace("yes", "é").encode("latin-1"),
        "deep.json": b"[" * 5000,
        "long.json": b'[{"prompt": ' + b"9" * 5000 + b"}]",
        "login.parquet": b"<html><script>alert(1)</script>",
        "cut.jsonl.gz": gzip.compress(text.encode())[:-9],
        "odd\x1b[2J\r.csv": b"prompt,chosen,rejected\na,b,c\na,b\n",
        "a.sqlite": b"SQLite format 3\0" + b"x" * 200,
        "bomb.yaml": b"a: &a [x]\nb: &b [*a, *a]\nfeatures: *b\n",
    }
    for name, content in contents.items():
        (place / name).write_bytes(content)
    for number, name in enumerate(("pairs.parquet", "run.json", "report.json")):
        copy = shutil.copytree(audit, place / f"audit{number}")
        (copy / name).write_bytes((copy / name).read_bytes()[:-700])
    shutil.copytree(audit, place / "audit")
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text('{"model_type": 3, "architectures": {}}')
    (place / "folder").mkdir()
    return place


def calls(inputs, seed, count):
    rng = random.Random(seed)
    names = [
        *sorted(str(path) for path in inputs.iterdir()),
        str(inputs / "absent"),
        "me/absent",
        "",
        "-",
        "~",
        "\x1b[2J",
    ]
    verbs = list(VERBS)
    for number in range(count):
        verb = verbs[number % len(verbs)]
        words, options = VERBS[verb]
        filled = []
        for word in words:
            word = word.replace("@", rng.choice(names)) if "@http" not in word else word
            word = word.replace("!", f"out{number}")
            word = rng.choice(["inspect", "export", "merge", "prune", "repair"]) if word == "KIND" else word
            filled.append(rng.choice(["accuracy", "", "alignment_resistance"]) if word == "METRIC" else word)
        for option in rng.sample(options, rng.randrange(len(options) + 1)):
            filled += [option] if option == "--check" else [option, rng.choice([*NUMBERS, *names[:12]])]
        yield [verb, *filled]


def faults(calls, capsys, folder):
    """Calls that end in a bug, or in success with nothing said or written."""
    bad = {}
    for words in calls:
        before = len(list(folder.iterdir()))
        try:
            code = main(words)
        except SystemExit as stopped:  # of the parser
            code = stopped.code
        streams = capsys.readouterr()
        idle = code == 0 and not streams.out and len(list(folder.iterdir())) == before
        if code not in (0, 1, 2) or idle or "Traceback" in streams.err or "\x1b" in streams.out + streams.err:
            bad[" ".join(words)] = (code, streams.err[-300:])
        elif code == 2:
            assert streams.err.strip(), words
    return bad


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEAL_METRICS", "")
    return tmp_path


def test_no_call_ends_in_a_traceback_or_in_nothing(inputs, place, capsys):
    assert faults(calls(inputs, 1, 144), capsys, place) == {}


@pytest.mark.endurance
def test_no_call_of_thousands_ends_in_a_traceback_or_in_nothing(inputs, place, capsys):
    assert faults(calls(inputs, 2, 4000), capsys, place) == {}
