"""Hardware of Hugging Face Jobs and its price, as the Hub lists them at this moment."""

from __future__ import annotations

from huggingface_hub import HfApi, JobHardwareInfo

from seal_datasets.hub.commit import ask

_MINUTES_PER_HOUR = 60


def job_prices(api: HfApi) -> list[str]:
    """One line for each flavor: its name, processors, memory, accelerator and price per hour.

    Args:
        api (`HfApi`): The client; no token is needed.

    Returns:
        `list[str]`: Lines of a table, the cheapest flavor first.

    Raises:
        HubError: The Hub cannot be reached, or answers in another form.
    """
    listed = ask("list the hardware of Jobs", api.list_jobs_hardware)
    rows = [["flavor", "cpu", "memory", "accelerator", "dollars per hour"]]
    rows += [_row(each) for each in sorted(listed, key=lambda each: each.unit_cost_usd)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(flavor: JobHardwareInfo) -> list[str]:
    accelerator = flavor.accelerator
    cards = f"{accelerator.quantity}x {accelerator.model} ({accelerator.vram})" if accelerator else "-"
    # The Hub states the unit; it bills by the minute today.
    per_hour = f"{flavor.unit_cost_usd * _MINUTES_PER_HOUR:.2f}" if flavor.unit_label == "minute" else "unknown"
    return [flavor.name, flavor.cpu, flavor.ram, cards, per_hour]
