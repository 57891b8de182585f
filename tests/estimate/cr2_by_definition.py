"""CR2 errors and their degrees of freedom by their definitions, with dense matrices."""

import math

import numpy as np


def cr2_by_definition(x, y, clusters):
    """Bell and McCaffrey (2002) with every n by n matrix written out: covariance, and for each coefficient its vectors P_g."""
    n, k = x.shape
    bread = np.linalg.pinv(x.T @ x)
    left = np.eye(n) - x @ bread @ x.T
    meat, influence = np.zeros((k, k)), []
    for g in np.unique(clusters):
        rows = np.flatnonzero(clusters == g)
        values, vectors = np.linalg.eigh(left[np.ix_(rows, rows)])
        half = np.array([1 / math.sqrt(v) if v > 1e-10 else 0.0 for v in values])
        adjust = vectors * half @ vectors.T
        score = x[rows].T @ adjust @ (left @ y)[rows]
        meat += np.outer(score, score)
        influence.append(left[:, rows] @ adjust @ x[rows] @ bread)
    return bread @ meat @ bread, np.array(influence).transpose(2, 1, 0)


def freedom_by_definition(influence):
    """Satterthwaite's degrees of freedom of each coefficient, from its vectors P_g."""
    products = [each.T @ each for each in influence]
    return np.array([np.trace(each) ** 2 / (each**2).sum() for each in products])


def joint_by_definition(influence, variance):
    """Pustejovsky and Tipton (2018): q (q + 1) over the summed variances of the entries of the normalised covariance."""
    q = len(influence)
    values, vectors = np.linalg.eigh(variance)
    turned = np.einsum("st,tng->sng", (vectors / np.sqrt(values)) @ vectors.T, influence)
    total = 0.0
    for s in range(q):
        for t in range(q):
            ss, tt, st = turned[s].T @ turned[s], turned[t].T @ turned[t], turned[s].T @ turned[t]
            total += (ss * tt).sum() + (st * st.T).sum()
    return q * (q + 1) / total
