"""How the counts of simulated posts grow.

The figures are fitted to public crawls of TikTok: 4,268 videos of one keyword search (H) for the
size of posts and their rates, 7,878 videos crawled twice (P) for the growth. Logs are base 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# H: log views = 2.33 + 0.583 log followers + an author's part + a video's part.
VIEWS_INTERCEPT = 2.33
VIEWS_SLOPE = 0.583
VIEWS_AUTHOR_SD = 0.64
VIEWS_VIDEO_SD = 0.60

# P: views arrive as a log-logistic of age over a time scale of each video; 0.45 of the variance
# of the log scale is the author's. The first day is extrapolated: P holds no such young posts.
GROWTH_SHAPE = 0.53
MEDIAN_SCALE_HOURS = 122.0
SCALE_LN_SD = 2.74
SCALE_AUTHOR_SHARE = 0.45

# H, in the order likes, comments, shares, saves: log rate = a + b log views + residual. The sds
# are those before the Poisson noise of small counts; author shares are intraclass correlations.
RATE_INTERCEPTS = np.array([-1.95, -2.16, -2.88, -3.09])
RATE_SLOPES = np.array([0.033, -0.197, 0.079, 0.117])
RATE_SDS = np.array([0.40, 0.44, 0.40, 0.42])
RATE_AUTHOR_SHARES = np.array([0.57, 0.46, 0.49, 0.54])
RATE_CORRELATIONS = np.array(
    [
        [1.00, 0.29, 0.20, 0.49],
        [0.29, 1.00, 0.29, 0.31],
        [0.20, 0.29, 1.00, 0.64],
        [0.49, 0.31, 0.64, 1.00],
    ]
)

# P: growth of the other counts over the growth of views (both as logs). Weighted by what each
# count adds to (likes + 2 comments + 3 shares) / views, this is that rate's drift of -0.13 R.
GROWTH_RATIOS = np.array([0.89, 0.82, 0.87, 0.97])

# P: beyond that drift the rate moves by N(0, min(0.25 R, 0.04)) while views grow by R. Two waves
# over log F with random phases, amplitude 0.04 / sqrt(2) and frequencies even on (0, 14) move like
# that between any two ages: by 14 / sqrt(6) * 0.04 R = 0.23 R at first, and by 0.04 once they are
# out of step. The further 0.003 of P is its rounding of large counts, so it is no part of a truth.
WAVES = 2
WAVE_LEVEL = 0.04
WAVE_FREQUENCY_LIMIT = 14.0


def arrived_share(hours: Floats, scale_hours: Floats) -> Floats:
    """Return the share F of its final views that a post has at an age.

    Parameters
    ----------
    hours : array of float
        Age; 0 and less give 0.
    scale_hours : array of float
        Age at which half of the views have arrived.

    Examples
    --------
    >>> arrived_share(np.array([-1.0, 0.0, 122.0]), np.array([122.0, 122.0, 122.0])).tolist()
    [0.0, 0.0, 0.5]
    """
    odds = (np.maximum(hours, 0.0) / scale_hours) ** GROWTH_SHAPE
    return odds / (1.0 + odds)


@dataclass(frozen=True, slots=True)
class Habits:
    """What posts of one creator share: one row a creator, standard deviations applied."""

    log_views: Floats
    scale: Floats
    log_rates: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, log_followers: Floats) -> Habits:
        """Draw the habits of creators of these sizes."""
        n = len(log_followers)
        return cls(
            log_views=VIEWS_INTERCEPT
            + VIEWS_SLOPE * log_followers
            + VIEWS_AUTHOR_SD * rng.standard_normal(n),
            scale=np.sqrt(SCALE_AUTHOR_SHARE) * rng.standard_normal(n),
            log_rates=np.sqrt(RATE_AUTHOR_SHARES) * _rate_residuals(rng, n),
        )


@dataclass(frozen=True, slots=True)
class Trajectories:
    """All counts of all posts at all times; one row a post.

    Everything random is drawn once, so the same question has the same answer whatever was asked
    before. No count ever falls: by log F, the logs of the counts rise by 0.82 or more, and the
    two waves together fall by 14 * 2 * 0.04 / sqrt(2) = 0.79 at most.
    """

    posted: Ints
    scale_hours: Floats
    views: Floats
    others: Ints
    rounding: Floats
    frequency: Floats
    phase: Floats

    @classmethod
    def draw(
        cls, rng: np.random.Generator, habits: Habits, creator: Ints, posted: Ints
    ) -> Trajectories:
        """Draw the fate of posts of these creators, published at these Unix seconds."""
        n = len(posted)
        z = habits.scale[creator] + np.sqrt(1.0 - SCALE_AUTHOR_SHARE) * rng.standard_normal(n)
        log_views = habits.log_views[creator] + VIEWS_VIDEO_SD * rng.standard_normal(n)
        log_rates = (
            RATE_INTERCEPTS
            + RATE_SLOPES * log_views[:, None]
            + habits.log_rates[creator]
            + np.sqrt(1.0 - RATE_AUTHOR_SHARES) * _rate_residuals(rng, n)
        )
        return cls(
            posted=posted,
            scale_hours=MEDIAN_SCALE_HOURS * np.exp(SCALE_LN_SD * z),
            views=10.0**log_views,
            others=rng.poisson(10.0 ** (log_views[:, None] + log_rates)),
            rounding=rng.random((n, 4)),
            frequency=rng.uniform(0.0, WAVE_FREQUENCY_LIMIT, (n, WAVES)),
            phase=rng.uniform(0.0, 2.0 * np.pi, (n, WAVES)),
        )

    def at(self, index: Ints, seconds: float) -> Ints:
        """Return the counts of some posts at a time.

        Parameters
        ----------
        index : array of int, shape (m,)
            Rows of the posts.
        seconds : float
            Unix time.

        Returns
        -------
        array of int, shape (m, 5)
            Views, likes, comments, shares, saves; zeros before publication.
        """
        hours = (seconds - self.posted[index].astype(np.float64)) / 3600.0
        share = arrived_share(hours, self.scale_hours[index])
        views = np.floor(self.views[index] * share)
        with np.errstate(divide="ignore"):
            log_share = np.log10(share)
        # Before publication log F is minus infinity, where a wave has no value.
        reached = np.where(share > 0.0, log_share, 0.0)[:, None]
        frequency, phase = self.frequency[index], self.phase[index]
        turn = np.cos(frequency * reached + phase) - np.cos(phase)
        wave = WAVE_LEVEL / np.sqrt(WAVES) * turn.sum(axis=1)
        grown = 10.0 ** (GROWTH_RATIOS * log_share[:, None] + wave[:, None])
        # A random offset before rounding keeps the mean of small counts; at F = 1 it is void.
        others = np.floor(self.others[index] * grown + self.rounding[index])
        return np.column_stack([views, np.minimum(others, views[:, None])]).astype(np.int64)


def _rate_residuals(rng: np.random.Generator, n: int) -> Floats:
    """Draw correlated residuals of the four log rates, shape (n, 4)."""
    factor = np.linalg.cholesky(RATE_CORRELATIONS)
    return RATE_SDS * (rng.standard_normal((n, 4)) @ factor.T)
