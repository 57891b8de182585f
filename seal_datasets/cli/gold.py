"""`seal gold`."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seal_datasets.atomic import write_text
from seal_datasets.cli.options import (
    DATA_HELP,
    SPLIT_HELP,
    Verbs,
    add_label_options,
    add_seed_option,
    add_verb,
    split_names,
)
from seal_datasets.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

    from seal_datasets.gold.desk import Desk
    from seal_datasets.labels.taxonomy import Taxonomy


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    gold = add_verb(
        verbs,
        "gold",
        _run,
        "draw prompts with known probabilities, and label their texts by hand",
        "seal gold pairs.jsonl --n 300 --features last_response_is_helpful --out gold",
        "seal gold pairs.jsonl --n 300 --features last_response_is_helpful --headless sheet.xlsx --out gold",
        "seal gold pairs.jsonl --features last_response_is_helpful --check sheet.xlsx --out gold",
        "seal gold pairs.jsonl --n 200 --round 2 --audit report --features last_response_is_helpful \\\n"
        "      --out gold",
        "seal gold --plan --audit report",
        note="Answers are on disk at once; the same command goes on where it stopped.",
        common="data --n --features --headless --check --round --audit --plan --annotator --out",
    )
    _add_draw_options(gold)
    _add_work_options(gold)


def _add_draw_options(gold: argparse.ArgumentParser) -> None:
    gold.add_argument("data", nargs="?", help=DATA_HELP)
    gold.add_argument("--split", help=SPLIT_HELP)
    gold.add_argument(
        "--n", type=int, default=100, metavar="N", help="prompts to label, all texts of each (default: %(default)s)"
    )
    gold.add_argument(
        "--stratify-by", metavar="COLUMN", help="column of the strata (default: thirds of prompts by length)"
    )
    add_seed_option(gold)
    add_label_options(gold, default_features="the targets of the taxonomy", gold=False)
    gold.add_argument(
        "--out",
        type=Path,
        default=Path("gold"),
        metavar="FOLDER",
        help="folder for answers and gold.csv (default: %(default)s)",
    )


def _add_work_options(gold: argparse.ArgumentParser) -> None:
    gold.add_argument("--annotator", default="a", metavar="NAME", help="who labels (default: %(default)s)")
    gold.add_argument(
        "--overlap",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the prompts that every annotator labels (default: %(default)s)",
    )
    gold.add_argument(
        "--headless", type=Path, metavar="FILE", help="write a .csv or .xlsx sheet to fill elsewhere, and open no page"
    )
    gold.add_argument("--check", type=Path, metavar="FILE", help="check a filled sheet, and write gold.csv from it")
    gold.add_argument(
        "--round",
        type=int,
        choices=[1, 2],
        default=1,
        help="2 draws more prompts, by the uncertainty of the probe of --audit (default: %(default)s)",
    )
    gold.add_argument(
        "--audit", type=Path, metavar="FOLDER", help="folder of an audit with gold labels, for --round 2 and --plan"
    )
    gold.add_argument(
        "--plan",
        action="store_true",
        help="say how wide intervals would be at 100, 300 and 1,000 gold prompts, and what these cost",
    )
    gold.add_argument(
        "--teacher-model", metavar="NAME", help="with --plan: also say what this model would cost as a teacher"
    )
    gold.add_argument("--port", type=int, metavar="PORT", help="port of the page (default: a free one)")
    gold.add_argument(
        "--show",
        choices=["browser", "address"],
        default="browser",
        help="open the page in a browser, or only print its address (default: %(default)s)",
    )


def _run(options: argparse.Namespace) -> int:
    if options.plan:
        return _plan(options)
    if options.data is None:
        raise DataError("give the data to label; only --plan needs none")
    from datasets import Dataset

    from seal_datasets.data.load import load_pairs
    from seal_datasets.escape import shareable

    if not 0.0 <= options.overlap <= 1.0:
        raise DataError(f"--overlap is a share between 0 and 1, got {options.overlap}")
    taxonomy = _taxonomy(options)
    pairs, diagnosis = load_pairs(options.data, split=options.split)
    if not isinstance(pairs, Dataset):
        raise DataError("the source is a stream; give a table to label")
    desk = _desk(pairs, str(shareable(diagnosis.source)), taxonomy, options)
    if options.check is not None:
        return _check(desk, options)
    sys.stderr.write(
        f"{len(desk.items):,} texts, {len(desk.items) * len(taxonomy.names):,} questions in {options.out}\n"
    )
    if options.headless is not None:
        from seal_datasets.gold.sheet import write_sheet

        sys.stdout.write(f"{write_sheet(desk.items, taxonomy, options.headless)}\n")
        return 0
    return _label(desk, options)


def _taxonomy(options: argparse.Namespace) -> Taxonomy:
    from seal_datasets.labels.taxonomy import load_taxonomy

    taxonomy = load_taxonomy(options.taxonomy)
    names = split_names(options.features) or tuple(feature.name for feature in taxonomy.targets) or taxonomy.names
    return taxonomy.select(names)


def _desk(pairs: Dataset, source: str, taxonomy: Taxonomy, options: argparse.Namespace) -> Desk:
    from seal_datasets.audit.draw_gold_step import keep_draw, keep_second_draw
    from seal_datasets.gold.desk import Desk
    from seal_datasets.report.files import read_audit

    if options.round == 2:
        if options.audit is None:
            raise DataError("--round 2 draws by the uncertainty of a probe; give the folder of its audit with --audit")
        draw = keep_second_draw(read_audit(options.audit, texts=False)[0], options.out, options.n, taxonomy)
    else:
        how = {"source": source, "seed": options.seed, "stratify_by": options.stratify_by}
        draw = keep_draw(pairs, options.out, options.n, taxonomy, **how)
    who = {"annotator": options.annotator, "overlap": options.overlap}
    return Desk(draw.items(pairs), taxonomy, options.out, draw.probability, **who)


def _check(desk: Desk, options: argparse.Namespace) -> int:
    from seal_datasets.gold.desk import GOLD_FILE
    from seal_datasets.gold.sheet import check_sheet

    table, n_empty = check_sheet(options.check, desk.items, desk.taxonomy, desk.probability)
    write_text(options.out / GOLD_FILE, table)
    sys.stderr.write(f"{n_empty:,} cells are still empty\n" if n_empty else "every cell is filled\n")
    return _say_next(options)


def _label(desk: Desk, options: argparse.Namespace) -> int:
    from seal_datasets.gold.page import serve

    sys.stderr.write("The page is on this machine only; stop with Ctrl-C, and run the same command to go on.\n")
    serve(desk, port=options.port, open_browser=options.show == "browser")
    desk.write()
    done, total = desk.progress()
    sys.stderr.write(f"{done:,} of {total:,} questions answered\n")
    for name, found in desk.agreement().items():
        kappa = "" if math.isnan(found.kappa) else f", kappa {found.kappa:.2f}"
        sys.stderr.write(f"{name}: two annotators agree on {found.agreement:.0%} of {found.n:,} texts{kappa}\n")
    return _say_next(options)


def _say_next(options: argparse.Namespace) -> int:
    sys.stdout.write(f"{options.out / 'gold.csv'}\n")
    sys.stderr.write(f"Next: seal audit {options.data} --gold {options.out / 'gold.csv'}\n")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from seal_datasets.audit.label_step import describe_label_plan
    from seal_datasets.audit.settings import AuditSettings
    from seal_datasets.gold.desk import ANSWERS
    from seal_datasets.gold.journal import Journal
    from seal_datasets.gold.plan import plan_gold
    from seal_datasets.report.files import read_audit, read_report

    if options.audit is None:
        raise DataError("--plan reads a pilot; give the folder of an audit with gold labels with --audit")
    report = read_report(options.audit)
    answers = options.out / ANSWERS
    pace = Journal(answers).pace() if answers.exists() else math.nan
    plan = plan_gold(report, seconds_per_answer=pace)
    sys.stdout.write("".join(f"{line}\n" for line in plan.lines()))
    if options.teacher_model:
        pairs, _ = read_audit(options.audit, texts=True)
        settings = AuditSettings(labeler="http://127.0.0.1/v1", labeler_model=options.teacher_model)
        per_pair = plan.texts[0] / plan.sizes[0] / 2
        for size in plan.sizes:
            part = pairs.select(range(min(len(pairs), round(size * per_pair))))
            key = os.environ.get("SEAL_LABELER_API_KEY")
            told = describe_label_plan(part, _taxonomy(options), settings, options.out / "none.sqlite", api_key=key)
            sys.stdout.write(f"teacher, {size:,} prompts: {told}\n")
    return 0
