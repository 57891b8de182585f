"""Least squares of one outcome on a design with clustered errors. Arrays only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from seal_datasets.estimate.basis import centred
from seal_datasets.estimate.bias_reduced import BiasReduced
from seal_datasets.estimate.inputs import Bools, Codes, Floats, one_of
from seal_datasets.estimate.linear import (
    cluster_factor,
    cluster_scores,
    determined,
    one_blas_thread,
    rounded_variances,
    solve,
    triangle,
)

ClusterErrors = Literal["cr2", "crv1"]
# Degrees of freedom closer than this to a floor differ by rounding.
_EQUAL = 1e-6


@dataclass(frozen=True, slots=True)
class LinearFit:
    """A least-squares fit.

    Attributes:
        coefficients (`ndarray` of shape (k,)): nan where not identified.
        covariance (`ndarray` of shape (k, k)): Clustered; nan where not identified or with too few clusters.
        degrees (`ndarray` of shape (k,)): Degrees of freedom of the t reference: Satterthwaite's under CR2, else, and without
            an error, clusters less one. nan where the error is not determined, and for CR2's intercept of a centred design.
        information (`ndarray` of shape (k,)): Satterthwaite's degrees of freedom under either error; nan as above, and
            without an error.
        identified (`ndarray` of shape (k,)): Whether a coefficient is determined by the data.
        rank (`int`): Rank of the design.
        n_clusters (`int`): Number of clusters.
        residual_size (`float`): Largest absolute residual over the outcome's scale; 0 for a perfect fit.
    """

    coefficients: Floats
    covariance: Floats
    degrees: Floats
    information: Floats
    identified: Bools
    rank: int
    n_clusters: int
    residual_size: float

    def uninformed(self, min_information: float) -> Bools:
        """Coefficients of shape (k,) that are identified and whose variance has less information than a floor."""
        enough = np.nan_to_num(self.information) >= min_information - _EQUAL
        return np.asarray(self.identified & ~enough & self.has_errors)

    @property
    def has_errors(self) -> bool:
        """Whether there are enough clusters and rows for errors."""
        return not np.isnan(self.covariance[np.ix_(self.identified, self.identified)]).all()


def describe(errors: ClusterErrors, *, by_prompt: bool) -> str:
    """How errors are computed, in words.

    Raises:
        DataError: The name is unknown.
    """
    one_of(errors, "errors", get_args(ClusterErrors))
    clusters = "clustered by prompt" if by_prompt else "each pair its own cluster"
    if errors == "cr2":
        return f"{clusters}, bias-reduced ({'CR2' if by_prompt else 'HC2'}), Satterthwaite degrees of freedom"
    return f"{clusters} ({'CRV1' if by_prompt else 'HC1'})"


def fit_linear(design: Floats, outcome: Floats, clusters: Codes, *, errors: ClusterErrors = "cr2") -> LinearFit:
    """Fit ordinary least squares with a cluster-robust covariance.

    Columns are centred where the first one is constant, so that their zero points cost no precision.

    Args:
        design (`ndarray` of shape (n, k)): Regressors, including any intercept.
        outcome (`ndarray` of shape (n,)): Outcome.
        clusters (`ndarray` of shape (n,)): Cluster codes, 0 to G - 1.
        errors (`"cr2"` or `"crv1"`): Bias-reduced, or with Stata's factor G / (G - 1) * (n - 1) / (n - rank).

    Returns:
        `LinearFit`: The fit. With every row its own cluster the covariance is HC2 or HC1.

    Source: Liang and Zeger (1986); Bell and McCaffrey (2002).
    """
    n, k = design.shape
    n_clusters = int(clusters.max()) + 1
    codes = None if n_clusters == n else clusters
    with one_blas_thread():
        whole = centred(design, np.ones(n))
        r = triangle(whole.rows, outcome)
        solution = solve(r, k)
        sums = BiasReduced(solution, n_clusters)
        sums.add(whole.rows, outcome[:, None], codes)
    covariance, information = np.full((k, k), np.nan), np.full(k, np.nan)
    degrees = np.full(k, n_clusters - 1.0)
    size = float(np.abs(outcome).max(initial=0.0))
    if n_clusters > 1 and n > solution.rank:
        information = sums.freedom()
        covariance, degrees = sums.covariance()[0, 0], information
        if errors == "crv1":
            residuals = outcome - whole.rows @ solution.coefficients[:, 0]
            influence = cluster_scores(whole.rows, residuals, codes) @ solution.bread
            covariance = influence.T @ influence * cluster_factor(n_clusters, n, solution.rank)
            degrees = np.full(k, n_clusters - 1.0)
        cancelled = np.diag(covariance) <= rounded_variances(solution.bread, size)
        covariance[cancelled[:, None] | cancelled] = 0.0
    coefficients, identified = solution.coefficients[:, 0], solution.identified.copy()
    if whole.first:
        back = np.eye(k)
        back[0, 1:] = -whole.centre[1:] / whole.first
        coefficients, covariance = back @ coefficients, back @ covariance @ back.T
        identified[0] = determined(r[:, :k], back[0])
        if whole.centre.any():
            degrees, information = (
                np.r_[degrees[0] if errors == "crv1" else math.nan, degrees[1:]],
                information.copy(),
            )
            information[0] = math.nan
    covariance[~(identified[:, None] & identified)] = np.nan
    coefficients = np.where(identified, coefficients, math.nan)
    residual_size = float(sums.largest[0]) / size if size else 0.0
    return LinearFit(
        coefficients, covariance, degrees, information, identified, solution.rank, n_clusters, residual_size
    )


def clustered_difference(values: Floats, first: Bools, clusters: Codes) -> tuple[float, float]:
    """Error of the mean of some rows minus the mean of the others, clustered (CR2), and its degrees of freedom.

    Args:
        values (`ndarray` of shape (n,)): Numbers.
        first (`ndarray` of shape (n,)): Rows of the first mean; both kinds occur.
        clusters (`ndarray` of shape (n,)): Cluster of each row.

    Returns:
        `tuple[float, float]`: Error, 0 without variation, and Satterthwaite's degrees of freedom; nan for one cluster.
    """
    fit = fit_linear(np.column_stack([np.ones(len(values)), first]), values, pd.factorize(clusters)[0])
    return math.sqrt(fit.covariance[1, 1]), float(fit.degrees[1])
