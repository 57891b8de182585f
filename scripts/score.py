"""Score pairs on as many processes as `accelerate launch` starts.

accelerate launch scripts/score.py pairs.jsonl --model post=my/reward-model --out scored.parquet
"""

from __future__ import annotations

import sys

from seal_datasets.cli import main

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
