"""Design effect of clusters on a penalised logit, which stays defined where a feature separates the outcome. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seal_datasets.estimate.inputs import Bools, Codes, Floats


@dataclass(frozen=True, slots=True)
class ClusteredOutcome:
    """Outcomes of single observations, and where they lie in a design of patterns.

    Attributes:
        outcome (`ndarray` of shape (n,)): Outcome of each observation.
        pattern (`ndarray` of shape (n,)): Its row of the design.
        clusters (`ndarray` of shape (n,)): Its cluster, from 0.
    """

    outcome: Bools
    pattern: Codes
    clusters: Codes

    def design_effect(self, fitted: Floats, direction: Floats) -> tuple[float, float]:
        """Compute how many times its binomial variance a coefficient's score has, and the degrees of freedom.

        The residuals are those without the coefficient, so they are finite under separation. The correlation within clusters
        is that of all residuals: a feature in few clusters could not determine its own. Where the clusters of the feature
        itself vary more, their variance is used.

        Args:
            fitted (`ndarray` of shape (p,)): Probability of each pattern without the coefficient.
            direction (`ndarray` of shape (p,)): Its part in the coefficient's score, net of the other coefficients.

        Returns:
            `tuple[float, float]`: The design effect, at least 1, and the effective number of clusters less 1.

        Source: Rao and Scott (1984) for a likelihood ratio over its design effect; Liang and Zeger (1986) for the
            correlation; Kish (1965) for the effective number.

        Example: two clusters of two equal pairs count as two pairs, not four.

        ```python
        >>> pairs = ClusteredOutcome(np.array([1, 1, 0, 0], bool), np.zeros(4, int), np.array([0, 0, 1, 1]))
        >>> pairs.design_effect(np.array([0.5]), np.array([1.0]))
        (2.0, 1.0)

        ```
        """
        p = fitted[self.pattern]
        spread = np.sqrt(p * (1 - p))
        residual = self.outcome - p
        parts = direction[self.pattern] * spread
        n_clusters = int(self.clusters.max()) + 1

        def by_cluster(values: Floats) -> Floats:
            return np.bincount(self.clusters, weights=values, minlength=n_clusters).astype(np.float64)

        standard = residual / np.where(spread > 0, spread, 1.0)
        sizes, own, together = by_cluster(np.ones(len(p))), by_cluster(parts**2), by_cluster(parts)
        couples = float((sizes * (sizes - 1)).sum())
        shared = by_cluster(standard) ** 2 * n_clusters / max(n_clusters - 1, 1) - by_cluster(standard**2)
        correlation = float(np.clip(shared.sum() / couples, 0.0, 1.0)) if couples else 0.0
        expected = own + correlation * (together**2 - own)
        seen = by_cluster(direction[self.pattern] * residual) ** 2
        binomial = float(own.sum())
        effect = max(float(expected.sum()), float(seen.sum()), binomial) / binomial
        return effect, float(expected.sum()) ** 2 / float((expected**2).sum()) - 1.0
