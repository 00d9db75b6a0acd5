"""Who posts what and when in the simulated feed: creators, sounds, hashtags, captions, times.

The shares come from public crawls of TikTok: H is 4,268 videos of one keyword search, F is 10,102
viral ones. A share marked as an assumption has no measured source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viral_platform.sandbox import vocabulary as words
from viral_platform.sandbox.growth import Floats, Ints

DAY = 86_400

# H: log10 followers, with the limits of what was seen.
LOG_FOLLOWERS_MEAN, LOG_FOLLOWERS_SD, LOG_FOLLOWERS_MAX = 3.35, 1.15, 7.2
# H: log10 of an account's lifetime posts a day.
LOG_POSTS_A_DAY_MEAN, LOG_POSTS_A_DAY_SD = -1.0, 0.65
# F, 2,021 creators crawled twice 18 days apart: followers grew by 2% (median) and 44% (p95).
FOLLOWER_GROWTH_DAYS, FOLLOWER_GROWTH_MEDIAN, FOLLOWER_GROWTH_LN_SD = 18.0, 0.02, 1.88
VERIFIED_SHARE, SELLER_SHARE = 0.016, 0.079  # H
# Assumption: the age of accounts.
ACCOUNT_DAYS_MEDIAN, ACCOUNT_DAYS_LN_SD = 700.0, 0.8

# H: posts by hour UTC, per mille.
HOUR_PROFILE = np.array(
    [
        *(18, 33, 42, 53, 72, 51, 45, 46, 47, 57, 57, 78),
        *(106, 90, 62, 50, 37, 18, 11, 5, 6, 1, 4, 11),
    ]
)

# H: discount and concentration of Pitman-Yor draws; those of authors are configured.
TAG_DISCOUNT, TAG_CONCENTRATION = 0.71, 187.0
SOUND_DISCOUNT, SOUND_CONCENTRATION = 0.67, 219.0

# H: sounds. Of the original ones 0.91 are the post's own, the others an earlier post's.
ORIGINAL_SHARE, OWN_SOUND_SHARE = 0.72, 0.91
# F, 24 sounds of 15 posts and more: a sound's posts rise and fall around its peak week by 2.3 a
# week, with a tenth of them spread over the whole time.
SOUND_LIFE_DAYS, SOUND_FLAT_SHARE = 1.2 * 7, 0.10
# F: age of a sound that is not original when a post uses it.
SOUND_AGE_DAYS_MEDIAN = 64.0
# H lacks musicAlbum on 79% of items: on all original sounds and on a quarter of the others.
ALBUM_SHARE = 0.75

# H: hashtags a post, mean 6.3, variance 20.8, none on 6.5%: a negative binomial (2.74, 0.297) of
# that mean has 3.6% of zeros, and 3% more posts are left without.
TAGS_MEAN, TAGS_SHAPE, NO_TAGS_SHARE = 6.48, 2.74, 0.03
# H: duration in seconds, p50 26, p95 94.
DURATION_MEDIAN, DURATION_LN_SD, DURATION_LIMITS = 26.0, 0.78, (3, 600)
BLANK_CAPTION_SHARE = 0.14  # F: a caption without a word beside its hashtags
# Assumptions: how often a caption has each part.
HOOK_SHARE, QUESTION_SHARE, CALL_SHARE, EMOJI_SHARE, NAMED_SOUND_SHARE = 0.35, 0.2, 0.25, 0.4, 0.1

# H: 49 of 4,755 ids are from 1 h to 15 days older than createTime, none younger: an upload that
# was scheduled for later.
SCHEDULED_SHARE, SCHEDULED_LEAD = 0.011, (3_700, 15 * DAY)
MENTION_SHARE = 0.04  # H
GONE_A_DAY = 0.0025  # F: 4.6% of posts were gone 18 days later


def pitman_yor(
    rng: np.random.Generator, n: int, *, discount: float, concentration: float
) -> list[int]:
    """Draw n labels, 0, 1, 2 ... in the order of their first appearance.

    After i draws with k labels, the next is new with probability
    (concentration + discount * k) / (concentration + i), and label j, seen c times, has
    probability (c - discount) / (concentration + i).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    n : int
        Number of draws.
    discount : float
        In [0, 1); the tail of the popularities falls as a power of 1 + discount.
    concentration : float
        Above 0; larger gives more labels.

    References
    ----------
    Pitman, Yor (1997), "The two-parameter Poisson-Dirichlet distribution derived from a stable
    subordinator", Annals of Probability 25.
    """
    spots = (rng.random(n) * (np.arange(n) + concentration)).tolist()
    refuses = (rng.random(n) < discount).tolist()
    labels: list[int] = []
    founded: list[bool] = []
    n_labels = 0
    for i, spot in enumerate(spots):
        # Repeating an earlier draw, unless it founded its label and refuses, is that rule exactly:
        # each label loses its discount to the new ones.
        earlier = int(spot) if spot < i else None
        if earlier is None or (founded[earlier] and refuses[i]):
            labels.append(n_labels)
            founded.append(True)
            n_labels += 1
        else:
            labels.append(labels[earlier])
            founded.append(False)
    return labels


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """Return one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def snowflake(seconds: int, serial: int, kind: int) -> str:
    """Return an id as TikTok makes them: Unix seconds in the upper 32 bits.

    The lower bits scramble the serial number one to one, so ids of one kind never collide.
    """
    return str((seconds << 32) | ((serial * 2_654_435_761 + kind * 40_503) % 2**32))


@dataclass(frozen=True, slots=True)
class Creators:
    """The simulated creators, as they were at the start of the feed; one row each."""

    ids: list[str]
    handles: list[str]
    nicks: list[str]
    niches: list[str]
    languages: list[words.Language]
    log_followers: Floats
    daily_growth: Floats
    posts_before: Ints
    following: list[int]
    verified: list[bool]
    seller: list[bool]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, n: int, *, start: int, niches: Sequence[str]
    ) -> Creators:
        """Draw n creators whose accounts are older than the start (Unix seconds)."""
        languages = tuple(words.LANGUAGE_SHARES)
        language = rng.choice(len(languages), n, p=list(words.LANGUAGE_SHARES.values()))
        niche = rng.integers(len(niches), size=n)
        name = rng.integers(len(words.CREATOR_WORDS), size=n)
        account_days = rng.lognormal(np.log(ACCOUNT_DAYS_MEDIAN), ACCOUNT_DAYS_LN_SD, n) + 1.0
        posts_a_day = 10.0 ** rng.normal(LOG_POSTS_A_DAY_MEAN, LOG_POSTS_A_DAY_SD, n)
        log_followers = rng.normal(LOG_FOLLOWERS_MEAN, LOG_FOLLOWERS_SD, n)
        growth = rng.lognormal(np.log(FOLLOWER_GROWTH_MEDIAN), FOLLOWER_GROWTH_LN_SD, n)
        born = np.maximum(start - (account_days * DAY).astype(np.int64), 0).tolist()
        stems = [words.CREATOR_WORDS[k] for k in name]
        return cls(
            ids=[snowflake(second, i, kind=1) for i, second in enumerate(born)],
            handles=[f"sim_{stem}_{i:05d}" for i, stem in enumerate(stems)],
            nicks=[f"Sim {stem.title()} {i}" for i, stem in enumerate(stems)],
            niches=[niches[k] for k in niche],
            languages=[languages[k] for k in language],
            log_followers=np.clip(log_followers, 0.0, LOG_FOLLOWERS_MAX),
            daily_growth=growth / FOLLOWER_GROWTH_DAYS,
            posts_before=(account_days * posts_a_day).astype(np.int64),
            following=rng.integers(0, 1_000, n).tolist(),
            verified=(rng.random(n) < VERIFIED_SHARE).tolist(),
            seller=(rng.random(n) < SELLER_SHARE).tolist(),
        )

    def card(self, i: int) -> dict[str, str]:
        """Return who a creator is, with the keys of Apify items."""
        return {"id": self.ids[i], "name": self.handles[i], "nickName": self.nicks[i]}


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound; `album` is None for original ones and for some of the others."""

    id: str
    name: str
    author: str
    original: bool
    album: str | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """When each post is published and which sound it has; rows in the order of publication.

    `song` is the label of a sound that is not original, -1 for original sounds.
    """

    posted: Ints
    song: Ints

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int, *, start: int, days: int) -> Schedule:
        """Draw n posts between the start (Unix seconds) and so many days later."""
        song = np.full(n, -1, dtype=np.int64)
        has_song = rng.random(n) >= ORIGINAL_SHARE
        n_songs = int(has_song.sum())
        song[has_song] = pitman_yor(
            rng, n_songs, discount=SOUND_DISCOUNT, concentration=SOUND_CONCENTRATION
        )
        day = rng.uniform(0.0, days, n)
        in_life = has_song & (rng.random(n) >= SOUND_FLAT_SHARE)
        peak = rng.uniform(0.0, days, n_songs)[song[in_life]]
        day[in_life] = _laplace_within(rng, peak, days)
        hour = rng.choice(24, n, p=HOUR_PROFILE / HOUR_PROFILE.sum())
        time_of_day = hour * 3_600 + rng.integers(0, 3_600, n)
        # Days count from the start, which may be at any time of day; the hours stay those of UTC.
        posted = start + day.astype(np.int64) * DAY + (time_of_day - start) % DAY
        order = np.argsort(posted, kind="stable")
        return cls(posted=posted[order], song=song[order])


def _laplace_within(rng: np.random.Generator, peak: Floats, days: int) -> Floats:
    """Draw from Laplace distributions around the peaks, cut to [0, days)."""

    def cdf(x: Floats) -> Floats:
        tail = 0.5 * np.exp(-np.abs(x) / SOUND_LIFE_DAYS)
        return np.where(x < 0.0, tail, 1.0 - tail)

    low, high = cdf(-peak), cdf(days - peak)
    level = low + rng.random(len(peak)) * (high - low)
    side = np.sign(level - 0.5)
    away = -SOUND_LIFE_DAYS * np.log(np.maximum(2.0 * np.minimum(level, 1.0 - level), 1e-300))
    return np.clip(peak + side * away, 0.0, np.nextafter(days, 0.0))


def draw_sounds(
    rng: np.random.Generator, schedule: Schedule, creator: Sequence[int], creators: Creators
) -> list[Sound]:
    """Return the sound of each post."""
    n = len(schedule.posted)
    is_own = (rng.random(n) < OWN_SOUND_SHARE).tolist()
    lottery = rng.random(n).tolist()
    originals: list[Sound] = []
    songs: dict[int, Sound] = {}
    sounds: list[Sound] = []
    rows = zip(schedule.posted.tolist(), schedule.song.tolist(), creator, strict=True)
    for i, (second, song, author) in enumerate(rows):
        if song >= 0:
            if song not in songs:
                songs[song] = _draw_song(rng, second, i)
            sounds.append(songs[song])
            continue
        if is_own[i] or not originals:
            sound = Sound(
                # The sound is stored a few seconds after the video.
                id=snowflake(second + 7, i, kind=2),
                name=words.ORIGINAL_SOUND[creators.languages[author]].format(
                    nick=creators.nicks[author]
                ),
                author=creators.nicks[author],
                original=True,
                album=None,
            )
        else:
            sound = originals[int(lottery[i] * len(originals))]
        originals.append(sound)
        sounds.append(sound)
    return sounds


def _draw_song(rng: np.random.Generator, first_used: int, serial: int) -> Sound:
    first, second = pick(rng, words.SOUND_FIRST), pick(rng, words.SOUND_SECOND)
    version, artist = pick(rng, words.SOUND_VERSIONS), pick(rng, words.ARTISTS)
    age = int(rng.lognormal(np.log(SOUND_AGE_DAYS_MEDIAN), 1.0) * DAY)
    return Sound(
        id=snowflake(max(first_used - age, 0), serial, kind=2),
        name=f"{first} {second}{version}",
        author=artist,
        original=False,
        album=f"{first} {second}" if rng.random() < ALBUM_SHARE else None,
    )


@dataclass(frozen=True, slots=True)
class Hashtags:
    """Names of all hashtags and, for each post, which it has; a repeated one is kept."""

    names: list[str]
    of_post: list[list[int]]

    @classmethod
    def draw(cls, rng: np.random.Generator, niches: Sequence[str]) -> Hashtags:
        """Draw the hashtags of posts of these niches.

        The generic tags come first, then those of the Pitman-Yor draw as they appear; a tag is
        named after the niche that used it first.
        """
        n_posts = len(niches)
        success = TAGS_SHAPE / (TAGS_SHAPE + TAGS_MEAN)
        n_tags = rng.negative_binomial(TAGS_SHAPE, success, n_posts)
        n_tags[rng.random(n_posts) < NO_TAGS_SHARE] = 0
        ends = np.cumsum(n_tags)
        total = int(ends[-1])
        shares = np.array(list(words.GENERIC_TAG_SHARES.values()))
        generic = rng.random(total) < shares.sum()
        n_generic = int(generic.sum())
        tag = np.empty(total, dtype=np.int64)
        tag[generic] = rng.choice(len(shares), n_generic, p=shares / shares.sum())
        drawn = pitman_yor(
            rng, total - n_generic, discount=TAG_DISCOUNT, concentration=TAG_CONCENTRATION
        )
        tag[~generic] = len(shares) + np.array(drawn, dtype=np.int64)
        names = [*words.GENERIC_TAG_SHARES, *words.EVERYDAY_TAGS]
        times_named = dict.fromkeys(names, 1)
        of_post = [part.tolist() for part in np.split(tag, ends[:-1])]
        for niche, tags in zip(niches, of_post, strict=True):
            for k in tags:
                if k == len(names):
                    names.append(_name_tag(rng, niche, times_named))
        return cls(names=names, of_post=of_post)


def _name_tag(rng: np.random.Generator, niche: str, times_named: dict[str, int]) -> str:
    name = pick(rng, words.TAG_ROOTS[niche]) + pick(rng, words.TAG_ENDINGS)
    times_named[name] = times_named.get(name, 0) + 1
    # No word ends in a digit, so numbered names stay unique.
    return name if times_named[name] == 1 else f"{name}{times_named[name]}"


def write_caption(
    rng: np.random.Generator, niche: str, language: words.Language, sound: Sound
) -> str:
    """Write the words of a caption, without hashtags; 14% have none."""
    blank, hook, question, call, emoji, named = rng.random(6).tolist()
    if blank < BLANK_CAPTION_SHARE:
        return ""
    parts = [pick(rng, words.BODIES[niche][language]).format(n=rng.integers(2, 60)) + "."]
    if hook < HOOK_SHARE:
        parts.insert(0, pick(rng, words.HOOKS[language]))
    if question < QUESTION_SHARE:
        parts.append(pick(rng, words.QUESTIONS[language]))
    if call < CALL_SHARE:
        parts.append(pick(rng, words.CALLS[language]))
    if emoji < EMOJI_SHARE:
        parts.append(pick(rng, words.EMOJI))
    if named < NAMED_SOUND_SHARE and not sound.original:
        parts.append(words.SOUND_LINES[language].format(sound=sound.name))
    return " ".join(parts)


def draw_durations(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """Draw durations in whole seconds."""
    seconds = rng.lognormal(np.log(DURATION_MEDIAN), DURATION_LN_SD, n)
    return np.clip(seconds, *DURATION_LIMITS).astype(np.int64)
