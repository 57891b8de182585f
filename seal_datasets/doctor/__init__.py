"""Whether a reward model's scores depend on anything but the text, and by how much."""

from seal_datasets.doctor.examine import DEFAULT_LIMIT, examine
from seal_datasets.doctor.findings import Check, Examination, PrecisionFinding

__all__ = ["DEFAULT_LIMIT", "Check", "Examination", "PrecisionFinding", "examine"]
