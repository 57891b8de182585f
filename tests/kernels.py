"""The estimators' tests under every kind of processor that this machine can play: python tests/kernels.py.

OpenBLAS picks its kernels by processor, and their last digits differ. No result may hang on those.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys

KERNELS = ("Prescott", "Core2", "Nehalem", "Sandybridge", "Haswell", "Zen", "SkylakeX", "Cooperlake", "Sapphirerapids")
_WHICH = """
import numpy, scipy.linalg, threadpoolctl
numpy.linalg.qr(numpy.random.default_rng(0).random((300, 40))), scipy.linalg.qr(numpy.eye(200))
print(*sorted({each["architecture"] for each in threadpoolctl.threadpool_info() if each["internal_api"] == "openblas"}))
"""


def run(kernel: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a kernel asked for, on one thread: several wait for each other beside other processes."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def counted(output: str) -> dict[str, int]:
    """What pytest's last line counts."""
    last = output.strip().splitlines()[-1] if output.strip() else ""
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", last)}


def main() -> int:
    """Run the tests under each kernel and print a table.

    Returns:
        `int`: 1 where a test failed or no kernel ran, else 0.
    """
    parser = argparse.ArgumentParser(description="Run the estimators' tests under each OpenBLAS kernel.")
    parser.add_argument("--kernels", nargs="+", default=KERNELS, help="names that OPENBLAS_CORETYPE takes")
    parser.add_argument("--workers", default="0", help="processes of pytest")
    parser.add_argument("tests", nargs="*", default=["tests/estimate"])
    given = parser.parse_args()
    seen: dict[str, str] = {}
    failed = 0
    print(f"{'asked for':<16}{'loaded':<16}{'passed':>8}{'failed':>8}  remark", flush=True)
    for kernel in given.kernels:
        which = run(kernel, "-c", _WHICH)
        loaded = which.stdout.strip()
        if which.returncode or not loaded:
            remark = f"does not run here: status {which.returncode}" if which.returncode else "no OpenBLAS"
            print(f"{kernel:<16}{'-':<16}{'-':>8}{'-':>8}  {remark}", flush=True)
            continue
        if loaded in seen:
            print(f"{kernel:<16}{loaded:<16}{'-':>8}{'-':>8}  as {seen[loaded]}", flush=True)
            continue
        seen[loaded] = kernel
        done = run(kernel, "-m", "pytest", "-q", "-n", given.workers, "-p", "no:cacheprovider", *given.tests)
        counts = counted(done.stdout)
        bad = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
        failed += bool(done.returncode)
        remark = "" if done.returncode == 0 else f"status {done.returncode}"
        print(f"{kernel:<16}{loaded:<16}{counts.get('passed', 0):>8}{bad:>8}  {remark}", flush=True)
        for line in done.stdout.splitlines():
            if line.startswith(("FAILED", "ERROR")):
                print("  " + line, flush=True)
    return 1 if failed or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
