import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset, IterableDataset

from seal_datasets import schema
from seal_datasets.cli import main
from seal_datasets.cli.options import write_table
from seal_datasets.data.load import load_pairs
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import DataError, ModelError
from seal_datasets.rewards import part_files
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.score import add_rewards, reward_columns, write_rewards
from seal_datasets.rewards.score_store import ScoreStore
from tests.data.test_deal import write

ROOT = Path(__file__).parents[2]
# Another batch composition pads differently and sums float32 in another order.
PADDING_JITTER = 1e-5


def test_every_row_ends_with_a_reward_or_a_reason(tiny_pairs, reward_models):
    scored = add_rewards(tiny_pairs, {"post": RewardModel(reward_models["post"])})
    assert scored.column_names[: len(tiny_pairs.column_names)] == tiny_pairs.column_names
    assert scored[schema.PAIR_ID][:] == tiny_pairs[schema.PAIR_ID][:]
    assert scored["reward_status_post_rejected"][:] == ["ok", "ok", "ok", "no_text"]
    assert scored["reward_post_rejected"][3] is None
    assert scored["reward_tokens_post_rejected"][3] is None
    assert scored.features["reward_post_chosen"].dtype == "float32"
    expected = RewardModel(reward_models["post"]).score([Exchange("Say hello.", [], "Hello! How are you?")])[0].reward
    assert scored["reward_post_chosen"][2] == pytest.approx(expected, abs=PADDING_JITTER)


def test_a_pair_whose_prompts_differ_is_scored_each_under_its_own(reward_models):
    rows = {"chosen": ["\n\nHuman: a\n\nAssistant: one"], "rejected": ["\n\nHuman: b\n\nAssistant: two"]}
    pairs, diagnosis = load_pairs(Dataset.from_dict(rows))
    assert list(diagnosis.problems) == ["prompts_differ"]
    model = RewardModel(reward_models["post"])
    scored = add_rewards(pairs, {"post": model})
    expected = model.score([Exchange("\n\nHuman: b", [], " two")])[0].reward
    assert scored["reward_post_rejected"][0] == pytest.approx(expected, abs=PADDING_JITTER)


def test_scoring_again_replaces_the_columns(tiny_pairs, reward_models):
    first = add_rewards(tiny_pairs, {"rm": RewardModel(reward_models["pre"])})
    again = add_rewards(first, {"rm": RewardModel(reward_models["post"])})
    assert again.column_names == first.column_names
    assert again["reward_rm_chosen"][:] != first["reward_rm_chosen"][:]


def test_a_cached_table_is_not_mistaken_for_another_models(tiny_pairs, reward_models, tmp_path):
    tiny_pairs.save_to_disk(tmp_path / "pairs")
    pairs = Dataset.load_from_disk(tmp_path / "pairs")
    rewards = {
        name: add_rewards(pairs, {"rm": RewardModel(reward_models[name])})["reward_rm_chosen"][:]
        for name in ("pre", "post", "pre")
    }
    assert rewards["pre"] != rewards["post"]


def test_a_stream_is_scored_as_it_flows(tiny_pairs, reward_models):
    model = RewardModel(reward_models["post"])
    stream = add_rewards(tiny_pairs.to_iterable_dataset(), {"post": model}, window=2)
    assert isinstance(stream, IterableDataset)
    flowed = [row["reward_post_chosen"] for row in stream]
    assert flowed == pytest.approx(
        add_rewards(tiny_pairs, {"post": model})["reward_post_chosen"][:], abs=PADDING_JITTER
    )


def test_a_name_that_cannot_be_a_column_is_refused(tiny_pairs, reward_models):
    with pytest.raises(DataError, match="letters, digits"):
        add_rewards(tiny_pairs, {"my model": RewardModel(reward_models["pre"])})


def test_models_that_encode_alike_share_the_encoding(tiny_pairs, reward_models, monkeypatch):
    models = {name: RewardModel(reward_models[name]) for name in ("pre", "post")}
    apart = {name: add_rewards(tiny_pairs, {name: model}) for name, model in models.items()}
    monkeypatch.setattr(models["post"], "encode", None)
    both = add_rewards(tiny_pairs, models)
    for name, table in apart.items():
        for column in reward_columns(name):
            assert both[column][:] == table[column][:]


def test_parts_hold_every_row_in_order_and_are_whole(tiny_pairs, reward_models, tmp_path):
    models = {"post": RewardModel(reward_models["post"])}
    expected = add_rewards(tiny_pairs, models)
    for number, pairs in enumerate((tiny_pairs, tiny_pairs.to_iterable_dataset())):
        out = tmp_path / str(number)
        files = write_rewards(pairs, models, out, window=2, rows_per_file=2)
        assert [path.name for path in files] == ["part-00000.parquet", "part-00001.parquet"]
        assert sorted(os.listdir(out)) == [".seal-parts", *(path.name for path in files)]
        found = Dataset.from_parquet([str(path) for path in files], cache_dir=str(tmp_path / "cache"))
        assert found.features == expected.features
        assert found[schema.PAIR_ID][:] == expected[schema.PAIR_ID][:]
        assert found["reward_post_chosen"][:] == pytest.approx(expected["reward_post_chosen"][:], abs=PADDING_JITTER)
        assert found["reward_status_post_rejected"][:] == expected["reward_status_post_rejected"][:]
    (tmp_path / "0" / "mine.parquet").write_text("")
    with pytest.raises(DataError, match=r"holds mine\.parquet, which is not one of these files"):
        write_rewards(tiny_pairs, models, tmp_path / "0")


def test_files_that_others_wrote_are_never_replaced(tiny_pairs, reward_models, tmp_path):
    """Another tool calls its files so too; ours are those that the manifest names."""
    models, foreign = {"post": RewardModel(reward_models["post"])}, tmp_path / "part-00007.parquet"
    foreign.write_text("of another tool")
    with pytest.raises(DataError, match=r"holds part-00007\.parquet, which is not one of these files"):
        write_rewards(tiny_pairs, models, tmp_path)
    foreign.rename(tmp_path / "part-00000.parquet.crc")
    with pytest.raises(DataError, match=r"part-00000\.parquet\.crc"):
        write_rewards(tiny_pairs, models, tmp_path)
    assert (tmp_path / "part-00000.parquet.crc").read_text() == "of another tool"


def test_files_of_an_earlier_run_stay_until_the_new_ones_are_whole(tiny_pairs, reward_models, tmp_path):
    model = RewardModel(reward_models["post"])
    write_rewards(tiny_pairs, {"post": model}, tmp_path, window=1, rows_per_file=1)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")}
    assert len(before) == len(tiny_pairs)
    broken = RewardModel(reward_models["post"])
    broken.rewards = lambda encoded: (_ for _ in ()).throw(ModelError("lost"))
    with pytest.raises(ModelError, match="lost"):
        write_rewards(tiny_pairs, {"post": broken}, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")} == before
    files = write_rewards(tiny_pairs, {"post": model}, tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".seal-parts", "part-00000.parquet"]
    assert [path.name for path in files] == ["part-00000.parquet"]
    assert len(load_pairs(str(tmp_path))[0]) == len(tiny_pairs)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_stopped_while_files_change_places_no_row_is_missing(tiny_pairs, reward_models, tmp_path, monkeypatch, nth):
    model, moved = RewardModel(reward_models["post"]), []
    write_rewards(tiny_pairs, {"post": model}, tmp_path, window=1, rows_per_file=1)

    def stop(unfinished, target):
        moved.append(target)
        if (
            target.parent == tmp_path
            and sum(path.suffix == ".parquet" for path in moved if path.parent == tmp_path) == nth
        ):
            raise KeyboardInterrupt
        os.replace(unfinished, target)

    monkeypatch.setattr(part_files, "move", stop)
    with pytest.raises(KeyboardInterrupt):
        write_rewards(tiny_pairs, {"post": model}, tmp_path, window=1, rows_per_file=1)
    monkeypatch.undo()
    assert load_pairs(str(tmp_path))[0][schema.PAIR_ID][:] == tiny_pairs[schema.PAIR_ID][:]
    write_rewards(tiny_pairs, {"post": model}, tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".seal-parts", "part-00000.parquet"]


def test_a_full_disk_is_said_and_rewards_that_were_kept_are_not_computed_again(tiny_pairs, reward_models, tmp_path):
    model = RewardModel(reward_models["post"])
    with ScoreStore(tmp_path / "rewards") as store:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        add_rewards(tiny_pairs, {"post": model}, store=store)
        kept = len(store)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # the system's own refusal, as of a full disk
        try:
            with pytest.raises(
                DataError, match=r"cannot write rows to .*out: .*; 0 files are complete\. Free disk space"
            ):
                write_rewards(tiny_pairs, {"post": model}, tmp_path / "out", store=store)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list((tmp_path / "out").glob("*.parquet")) == []
        model.rewards = lambda encoded: iter(()) if not encoded else pytest.fail("scored again")
        (part,) = write_rewards(tiny_pairs, {"post": model}, tmp_path / "out", store=store)
        assert len(store) == kept
    assert len(Dataset.from_parquet(str(part), cache_dir=str(tmp_path / "cache"))) == len(tiny_pairs)


def test_a_file_that_cannot_be_written_leaves_the_one_that_was_there(tiny_pairs, tmp_path):
    out = tmp_path / "scored.parquet"
    out.write_text("earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError, match=r"cannot write .*scored\.parquet: .*; what was there is unchanged"):
            write_table(tiny_pairs, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["scored.parquet"]
    assert out.read_text() == "earlier"
    write_table(tiny_pairs, out)
    assert Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "cache")).column_names == tiny_pairs.column_names


def test_a_window_is_all_that_is_held(reward_models):
    """Rows are read as they are scored: never more than three windows ahead of what was written."""
    from seal_datasets.rewards.score import _score_windows

    read = []

    def windows():
        for number in range(10):
            read.append(number)
            columns = {
                "prompt": [f"p{number}"],
                "conversation": [[]],
                "rejected_prompt": [None],
                "rejected_conversation": [None],
            }
            yield {**columns, "chosen": ["yes"], "rejected": ["no"]}

    model = RewardModel(reward_models["post"])
    for number, _ in enumerate(_score_windows(windows(), {"rm": model}, None, int)):
        assert len(read) <= number + 3
    assert len(read) == 10


@pytest.mark.slow
def test_one_and_two_processes_give_the_same_table(tmp_path, reward_models):
    data = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n % 5}?", "chosen": "yes " * (n + 1), "rejected": f"no {n}"} for n in range(11)]
    data.write_text("\n".join(map(json.dumps, rows)))
    outs = [tmp_path / f"scored{processes}.parquet" for processes in (1, 2)]
    assert main(["score", str(data), "--model", f"rm={reward_models['post']}", "--out", str(outs[0])]) == 0
    finished = launch_two(data, reward_models["post"], outs[1], tmp_path)
    assert finished.returncode == 0, finished.stderr[-2000:]
    alone, shared = (Dataset.from_parquet(str(out), cache_dir=str(tmp_path / f"cache_{out.stem}")) for out in outs)
    assert shared.column_names == alone.column_names
    assert shared[schema.PAIR_ID][:] == alone[schema.PAIR_ID][:]
    for column in reward_columns("rm"):
        one, other = alone[column][:], shared[column][:]
        assert other == (one if "status" in column else pytest.approx(one, abs=PADDING_JITTER))
    with ScoreStore(tmp_path / "scored2.rewards", writer=9) as store:
        assert len(store) == 22
        assert len(list((tmp_path / "scored2.rewards").glob("*.sqlite"))) == 3  # one of each process, and ours


def launch_two(data, model, out, folder, *more):
    words = [str(data), "--model", f"rm={model}", "--out", str(out), *more]
    return launch(2, [str(ROOT / "scripts" / "score.py"), *words], folder)


def launch(n_processes, words, folder):
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",  # the launcher's name for several of anything
        "--num_processes",
        str(n_processes),
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
        *words,
    ]
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)


STREAM = """
import os, sys
from pathlib import Path
from datasets import Dataset, IterableDataset
from seal_datasets import load_pairs
from seal_datasets.errors import DataError
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.score import write_rewards

folder, model, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rows = [{"prompt": f"Question {n % 5}?", "chosen": "yes " * (n + 1), "rejected": f"no {n}"} for n in range(23)]
pairs, _ = load_pairs(Dataset.from_list(rows))

def read():
    for number, row in enumerate(pairs):
        with open(folder / f"read-by-{os.environ.get('RANK', 0)}", "a") as log:
            log.write(f"{number} ")
        if number == last:
            raise DataError(f"row {number} is broken")
        yield row

stream = IterableDataset.from_generator(read, features=pairs.features)
write_rewards(stream, {"rm": RewardModel(model)}, folder / "out", window=4, rows_per_file=8)
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [2, 3])
def test_a_stream_is_read_by_one_process_and_scored_by_all(n_processes, tmp_path, reward_models):
    (tmp_path / "stream.py").write_text(STREAM)
    finished = launch(n_processes, [str(tmp_path / "stream.py"), str(tmp_path), reward_models["post"], "-1"], tmp_path)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert [path.name for path in tmp_path.glob("read-by-*")] == ["read-by-0"]
    assert (tmp_path / "read-by-0").read_text().split() == [str(number) for number in range(23)]
    files = sorted((tmp_path / "out").glob("*.parquet"))
    assert [path.name for path in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    scored = Dataset.from_parquet([str(path) for path in files], cache_dir=str(tmp_path / "cache"))
    pairs, _ = load_pairs(scored.remove_columns(list(reward_columns("rm"))), format="canonical")
    alone = add_rewards(pairs, {"rm": RewardModel(reward_models["post"])})
    assert scored[schema.PAIR_ID][:] == [str(number) for number in range(23)]
    for column in reward_columns("rm"):
        expected = alone[column][:]
        assert scored[column][:] == (expected if "status" in column else pytest.approx(expected, abs=PADDING_JITTER))


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [2, 3])
def test_a_stream_of_parquet_is_dealt_and_its_files_are_those_of_one_process(n_processes, tmp_path, reward_models):
    data = write(tmp_path / "data", [17, 6], 4)
    words = [str(data), "--stream", "--rows-per-file", "5", "--window", "4", "--model", f"rm={reward_models['post']}"]
    assert main(["score", *words, "--out", str(tmp_path / "alone")]) == 0
    script = str(ROOT / "scripts" / "score.py")
    out = tmp_path / "dealt"
    for _ in range(2):  # files of an earlier run are replaced
        finished = launch(n_processes, [script, *words, "--out", str(out)], tmp_path)
        assert finished.returncode == 0, finished.stderr[-2000:]
        assert sorted(path.name for path in out.iterdir()) == sorted(
            [".seal-parts", *(f"part-{n:05d}.parquet" for n in range(len(list(out.glob("*.parquet")))))]
        )
    alone, dealt = (
        Dataset.from_parquet([str(path) for path in sorted(folder.glob("*.parquet"))], cache_dir=str(tmp_path / "c"))
        for folder in (tmp_path / "alone", out)
    )
    assert dealt[schema.PAIR_ID][:] == alone[schema.PAIR_ID][:] == [str(number) for number in range(23)]
    assert dealt.column_names == alone.column_names
    for column in reward_columns("rm"):
        expected = alone[column][:]
        assert dealt[column][:] == (expected if "status" in column else pytest.approx(expected, abs=PADDING_JITTER))
    assert finished.stdout.split() == [str(path) for path in sorted(out.glob("*.parquet"))]


@pytest.mark.slow
def test_a_dealt_stream_whose_part_breaks_leaves_what_was_there(tmp_path, reward_models):
    data = write(tmp_path / "data", [24], 4)
    script, out = str(ROOT / "scripts" / "score.py"), tmp_path / "out"
    words = [str(data), "--stream", "--window", "4", "--model", f"rm={reward_models['post']}", "--out", str(out)]
    assert launch(2, [script, *words], tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write(tmp_path / "broken", [24], 4, more=lambda n: {"chosen": "word " * 600} if n == 20 else {})
    finished = launch(2, [script, str(tmp_path / "broken"), *words[1:]], tmp_path)
    assert finished.returncode != 0
    assert "the model takes 512" in finished.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert launch(2, [script, *words], tmp_path).returncode == 0
    assert {path.name for path in out.iterdir()} == before.keys()


@pytest.mark.slow
def test_a_stream_that_breaks_ends_every_process(tmp_path, reward_models):
    (tmp_path / "stream.py").write_text(STREAM)
    finished = launch(2, [str(tmp_path / "stream.py"), str(tmp_path), reward_models["post"], "9"], tmp_path)
    assert finished.returncode != 0
    assert "row 9 is broken" in finished.stderr
    assert not (tmp_path / "read-by-1").exists()


@pytest.mark.slow
def test_a_process_that_dies_is_reported_and_the_rest_go_on_in_the_next_run(tmp_path, reward_models):
    rows = [{"prompt": f"Question {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(12)]
    rows[9]["chosen"] = "word " * 600  # in the second window, one process meets a text that is too long
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "scored.parquet"
    finished = launch_two(data, reward_models["post"], out, tmp_path, "--window", "4")
    assert finished.returncode != 0
    assert "the model takes 512" in finished.stderr
    assert not out.exists()
    with ScoreStore(tmp_path / "scored.rewards", writer=9) as store:
        kept = len(store)
    assert 0 < kept < 24
    again = ["score", str(data), "--model", f"rm={reward_models['post']}", "--out", str(out)]
    assert main([*again, "--window", "4", "--over-length", "skip"]) == 0
    assert Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "c"))["reward_status_rm_chosen"][9] == "too_long"


@pytest.mark.parametrize(
    ("name", "processes", "machines"),
    [("one_cpu", 1, 1), ("one_gpu", 1, 1), ("eight_gpus", 8, 1), ("two_nodes", 16, 2)],
)
def test_launch_configurations_are_what_they_are_called(name, processes, machines):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(ROOT / "scripts" / "configs" / f"{name}.yaml"))
    assert (config.num_processes, config.num_machines) == (processes, machines)
    assert config.use_cpu is (name == "one_cpu")


def test_a_table_without_rows_gets_its_columns(tiny_pairs, reward_models):
    scored = add_rewards(tiny_pairs.select([]), {"post": RewardModel(reward_models["post"])})
    assert len(scored) == 0
    assert scored.features == {**tiny_pairs.features, **reward_columns("post")}
