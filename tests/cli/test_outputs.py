"""Outputs that cannot be written are named before the data is even opened, and nothing of anybody else is overwritten."""

import json
import subprocess
import sys

import pytest

from seal_datasets.cli import main

NOWHERE = "no-such-data.jsonl"  # a verb that opened its data first would name this
REWARDS = ["--rewards=pre=g,h", "--rewards=post=h,g"]
VERBS = [
    (["audit", NOWHERE, "--out"], True),
    (["audit", NOWHERE, *REWARDS, "--out"], True),
    (["audit", "--demo", "--out"], True),
    (["train-pair", NOWHERE, "--out"], True),
    (["compare", "no-audit", "no-other", "--out"], True),
    (["score", NOWHERE, "--model", "post=m", "--out"], True),
    (["score", NOWHERE, "--model", "post=m", "--out", "x.parquet", "--store"], True),
    (["featurize", NOWHERE, "--labeler", "none", "--out"], False),
    (["score", NOWHERE, "--model", "post=m", "--out"], False),
    (["rewrite", NOWHERE, "--out"], False),
    (["labelers", NOWHERE, "--labeler", "a=local", "--labeler", "b=local", "--out"], False),
    (["subset", "no-audit", "--drop", "resistant", "--out"], False),
    (["doctor", "no-model", "--out"], False),
    (["store", "export", "no.sqlite", "--out"], False),
    (["store", "merge"], False),
    (["gold", NOWHERE, "--out"], True),
    (["gold", NOWHERE, "--check", "sheet.csv", "--out"], True),
    (["gold", NOWHERE, "--headless"], False),
]


@pytest.mark.parametrize(
    ("words", "folder"), VERBS, ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else ""
)
def test_what_is_in_the_way_is_found_before_any_work(words, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.parquet").write_text("x")
    (tmp_path / "folder.parquet").mkdir()
    after = ["other.sqlite"] if words[:2] == ["store", "merge"] else []
    wrong = "file" if folder else "folder"
    name = "out" if folder else "out.parquet"
    places = {
        f"{wrong}.parquet": f"it is a {wrong}, and a {'folder' if folder else 'file'} is needed",
        f"file.parquet/{name}": "file.parquet is a file, and a folder is needed",
        f"/proc/nowhere/{name}": "cannot write /proc/nowhere",
    }
    if folder and words[0] == "score" and "--store" not in words:
        del places["file.parquet"]  # such a name means a file
    for place, message in places.items():
        assert main([*words, place, *after]) == 2
        said = capsys.readouterr().err
        assert f"seal {words[0]}: cannot write {place.split('/')[0] if place[0] != '/' else '/proc'}" in said
        assert message in said
        assert NOWHERE not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.parquet", "folder.parquet"]


def test_a_folder_in_the_place_of_a_file_of_an_audit_is_found_before_any_work(tmp_path, capsys):
    (tmp_path / "audit/report.json").mkdir(parents=True)
    assert main(["audit", NOWHERE, "--out", str(tmp_path / "audit")]) == 2
    assert "report.json: it is a folder, and a file is needed" in capsys.readouterr().err


def rows(path, letter="b"):
    found = [{"prompt": f"q{n}", "chosen": f"{letter} {n}", "rejected": "c", "g": n % 3, "h": 0.5} for n in range(8)]
    path.write_text("\n".join(map(json.dumps, found)))
    return str(path)


def texts(folder):
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".json", ".md", ".parquet")
    }


def test_an_audit_of_another_source_is_never_overwritten(tmp_path, capsys):
    out = tmp_path / "audit"
    assert main(["audit", rows(tmp_path / "mine.jsonl"), *REWARDS, "--out", str(out)]) == 0
    before = texts(out)
    capsys.readouterr()
    assert main(["audit", rows(tmp_path / "other.jsonl"), *REWARDS, "--out", str(out)]) == 2
    assert "holds an audit of 'mine.jsonl', and this one is of 'other.jsonl'; give another" in capsys.readouterr().err
    assert texts(out) == before
    assert main(["audit", rows(tmp_path / "mine.jsonl", "d"), *REWARDS, "--out", str(out)]) == 0  # an edited file may


def test_a_second_audit_of_a_folder_is_refused_with_the_first_ones_process(tmp_path, capsys):
    out = tmp_path / "audit"
    script = (
        "import sys\nfrom seal_datasets.atomic import occupying\n"
        "with occupying(sys.argv[1], 'an audit'):\n    print('held', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", script, out], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        for source in ([rows(tmp_path / "mine.jsonl"), *REWARDS], [str(tmp_path / "mine.jsonl"), "--labeler", "none"]):
            assert main(["audit", *source, "--out", str(out)]) == 2
            said = capsys.readouterr().err
            assert f"is in use: process {other.pid} on this machine runs an audit; wait until it has ended" in said
        other.communicate("\n")
    assert main(["audit", str(tmp_path / "mine.jsonl"), *REWARDS, "--out", str(out)]) == 0


@pytest.mark.parametrize(
    "flags", [["--limit", "5"], ["--gold", "g.csv"], ["--labeler", "none"], ["--dry-run"], ["--doctor"]]
)
def test_a_published_audit_refuses_options_that_it_would_not_obey(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("seal_datasets.hub.recompute.find_published", lambda source: tmp_path)
    assert main(["audit", "me/published", *flags, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert (
        f"me/published is a published audit, whose numbers are recomputed as they were published, without {flags[0]}"
        in said
    )
    assert not (tmp_path / "out").exists()


def test_no_local_path_is_in_anything_an_audit_writes(tmp_path):
    out = tmp_path / "private folder" / "audit"
    out.mkdir(parents=True)
    (out.parent / "gold.jsonl").write_text("")
    source = rows(out.parent / "mine.jsonl")
    assert main(["audit", source, *REWARDS, "--out", str(out)]) == 0
    written = texts(out)
    assert {"report.md", "report.json", "run.json", "README.md", "pairs.parquet"} <= set(written)
    for content in written.values():
        assert str(tmp_path).encode() not in content
        assert b"private folder" not in content
    run = json.loads(written["run.json"])
    assert run["source"] == run["diagnosis"]["source"] == "mine.jsonl"
    assert run["diagnosis"]["fingerprint"].startswith("sha256:")
    assert run["diagnosis"]["fingerprint"].encode() in written["README.md"].replace(b"\\", b"")
