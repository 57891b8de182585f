"""Laws of batches: no text is lost or scored twice, whatever memory does."""

import importlib.util
import json
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seal_datasets.errors import ModelError
from seal_datasets.rewards.batching import equal_shares, padding_waste, run_batches, token_batches, token_rows

LENGTHS = st.lists(st.integers(1, 40), max_size=30)
SHORT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12"
    ),
    RuntimeError("could not create a primitive"),
    RuntimeError("Exception from src/inference: std::bad_alloc"),
    RuntimeError("[CPU] Transpose node with name 'Transpose_14764' can't alloc"),
    RuntimeError(
        "Exception from src/plugins/intel_cpu:\nCheck 'ptr' failed:\nFailed to allocate 9 bytes of memory\n\n"
    ),
]


class Machine:
    """A double of a model on a machine whose memory takes a number of items at a time: no real one fails at will."""

    def __init__(self, *, room_to_begin, room_to_read, error, room_in_all=None):
        self.room_to_begin, self.room_to_read, self.error = room_to_begin, room_to_read, error
        self.room_in_all = room_in_all
        self.in_use = self.most_at_once = self.at_once = 0

    def run(self, batch):
        if len(batch) > self.room_to_begin or (self.room_in_all and self.in_use + len(batch) > self.room_in_all):
            raise self.error
        self.in_use += len(batch)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

        def read():
            self.in_use -= len(batch)
            self.at_once -= 1
            if len(batch) > self.room_to_read:
                raise self.error
            return [each / 2 for each in batch]

        return list(batch), read


@given(
    sizes=st.lists(st.integers(1, 9), max_size=12),
    room_to_begin=st.integers(1, 9),
    room_to_read=st.integers(1, 9),
    ahead=st.sampled_from([0, 1, 3]),
    error=st.sampled_from(SHORT_OF_MEMORY),
    data=st.data(),
)
def test_every_item_is_run_once_whatever_batches_memory_fails_for(
    sizes, room_to_begin, room_to_read, ahead, error, data
):
    items = data.draw(st.permutations(range(sum(sizes))))
    work = [items[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
    machine = Machine(room_to_begin=room_to_begin, room_to_read=room_to_read, error=error)
    found = [each for batch in run_batches(work, machine.run, ahead=ahead) for each in batch]
    assert sorted(found) == [(item, item / 2) for item in range(sum(sizes))]
    assert machine.most_at_once <= ahead + 1
    assert [len(batch) for batch in work] == sizes, "the caller's batches were changed"


@given(
    sizes=st.lists(st.integers(1, 9), max_size=12),
    room_in_all=st.integers(1, 9),
    ahead=st.sampled_from([0, 1, 3]),
    error=st.sampled_from(SHORT_OF_MEMORY),
)
def test_what_fits_only_alone_is_run_alone(sizes, room_in_all, ahead, error):
    """Memory that other batches hold is no reason to give a text up."""
    work = [[(number, each) for each in range(size)] for number, size in enumerate(sizes)]
    machine = Machine(room_to_begin=9, room_to_read=9, room_in_all=room_in_all, error=error)

    def run(batch):
        _, read = machine.run([number for number, _ in batch])
        return [10 * number + each for number, each in batch], read

    found = [position for batch in run_batches(work, run, ahead=ahead) for position, _ in batch]
    assert sorted(found) == sorted(10 * number + each for batch in work for number, each in batch)


@pytest.mark.parametrize("error", SHORT_OF_MEMORY, ids=str)
@pytest.mark.parametrize("room", [(0, 9), (9, 0)], ids=["begin", "read"])
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_a_single_item_without_memory_enough_is_said(error, room, ahead):
    machine = Machine(room_to_begin=room[0], room_to_read=room[1], error=error)
    said = r"a single text does not fit in memory; shorten texts .*: .*([Mm]emory|alloc|primitive)"
    with pytest.raises(ModelError, match=said):
        list(run_batches([[0, 1, 2], [3], [4, 5]], machine.run, ahead=ahead))


@pytest.mark.parametrize(
    "error", [RuntimeError("could not create a primitive descriptor"), ValueError("no"), KeyError(1)]
)
@pytest.mark.parametrize("room", [(1, 9), (9, 1)], ids=["begin", "read"])
def test_an_error_of_another_kind_is_raised_as_it_is(error, room):
    machine = Machine(room_to_begin=room[0], room_to_read=room[1], error=error)
    results = run_batches([[0], [1, 2], [3]], machine.run)
    found = []
    with pytest.raises(type(error)) as raised:
        found.extend(results)
    assert raised.value is error


def test_an_accelerator_that_is_gone_is_said_and_what_was_read_before_stays():
    """The error is one that torch raises for a lost GPU, made here: there is none to lose."""

    def run(batch):
        if batch == [2]:
            raise torch.AcceleratorError(
                "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronous"
            )
        return batch, lambda: [0.5] * len(batch)

    found = run_batches([[0], [1], [2], [3]], run, ahead=0)
    assert [next(found), next(found)] == [[(0, 0.5)], [(1, 0.5)]]
    with pytest.raises(
        ModelError, match=r"accelerator failed \(CUDA error: unspecified launch failure\); stored rewards"
    ):
        next(found)


@given(lengths=LENGTHS, budget=st.integers(1, 120))
def test_padded_batches_hold_every_text_once_within_the_budget(lengths, budget):
    batches = token_batches(lengths, budget)
    assert sorted(each for batch in batches for each in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[each] for each in batch) <= budget
    longest_first = [lengths[each] for batch in batches for each in batch]
    assert longest_first == sorted(lengths, reverse=True)
    assert 0.0 <= padding_waste(lengths, batches) < 1.0


@given(lengths=LENGTHS, budget=st.integers(1, 120))
def test_rows_hold_every_text_once_within_the_budget(lengths, budget):
    rows = token_rows(lengths, budget)
    assert sorted(each for row in rows for each in row) == list(range(len(lengths)))
    assert all(len(row) == 1 or sum(lengths[each] for each in row) <= budget for row in rows)
    assert all(rows)
    # Were a row and the next one together within the budget, they would be one row.
    assert all(sum(lengths[each] for each in row) + lengths[following[0]] > budget for row, following in pairwise(rows))


@given(
    texts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=30),
    n_shares=st.integers(1, 5),
)
def test_shares_keep_groups_together_and_are_no_more_uneven_than_grahams_bound(texts, n_shares):
    sizes, groups = [size for size, _ in texts], [group for _, group in texts]
    owners = equal_shares(sizes, groups, n_shares)
    assert len(owners) == len(texts)
    assert set(owners) <= set(range(n_shares))
    owner_of_group = dict(zip(groups, owners, strict=True))
    assert owners == [owner_of_group[group] for group in groups]
    loads = [sum(size for size, owner in zip(sizes, owners, strict=True) if owner == each) for each in range(n_shares)]
    assert max(loads) <= (4 / 3 - 1 / (3 * n_shares)) * least_load(sizes, groups, n_shares) + 1e-9


def least_load(sizes, groups, n_shares):
    """The least that the fullest share can hold, by trying all ways."""
    totals = [sum(size for size, group in zip(sizes, groups, strict=True) if group == each) for each in set(groups)]
    ways = {(0,) * n_shares}
    for total in totals:
        ways = {
            tuple(sorted((*loads[:share], loads[share] + total, *loads[share + 1 :])))
            for loads in ways
            for share in range(n_shares)
        }
    return min(max(loads) for loads in ways)


LITTLE_MEMORY = """
import json, resource, sys
from seal_datasets.data.texts import Exchange
from seal_datasets.errors import ModelError
from seal_datasets.rewards import batching
from seal_datasets.rewards.classifier import RewardModel
from seal_datasets.rewards.options import ModelOptions

folder, backend, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = RewardModel(folder, backend=backend, options=ModelOptions(tokens_per_batch=10**9))
texts = [Exchange(f"question {n} " * 40, [], "word " * 250) for n in range(40)]
model.score(texts[:1])  # what every run needs once
failures, recognised = [], batching._out_of_memory
batching._out_of_memory = lambda error: failures.append(str(error)) or recognised(error)
with open("/proc/self/status") as status:
    kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (kilobytes * 1024 + (megabytes << 20),) * 2)
try:
    rewards = [each.reward for each in model.score(texts)]
except ModelError as error:
    rewards = str(error)
print(json.dumps({"rewards": rewards, "failures": failures}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_memory_that_really_runs_out_is_recognised_and_loses_no_text(reward_models, backend):
    """Forty texts of some 330 tokens are given as one batch to a process that has not the memory for it."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    little, enough = (score_in_child(reward_models["post"], backend, megabytes) for megabytes in (80, 4000))
    assert little["failures"]
    assert not enough["failures"]
    if backend == "openvino" and isinstance(little["rewards"], str):
        # It does not always give back what it took before it failed; then the run ends, and what was kept is kept.
        assert "a single text does not fit in memory" in little["rewards"]
    else:
        assert little["rewards"] == pytest.approx(enough["rewards"], abs=1e-5)


def score_in_child(*arguments):
    command = [sys.executable, "-c", LITTLE_MEMORY, *map(str, arguments)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert child.returncode == 0, child.stderr[-2000:]
    return json.loads(child.stdout.splitlines()[-1])
