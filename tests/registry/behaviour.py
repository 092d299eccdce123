"""What a registry may do in more than one way, for the fake one to do it in each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class AfterCut(Enum):
    """What is left of a PATCH whose client went away in the middle."""

    KEPT = auto()
    """What has come stays; the upload goes on from there."""

    DISCARDED = auto()
    """The upload goes on from where the PATCH began."""

    LOST = auto()
    """The upload is over: docker-registry 2.8 keeps the bytes, and then answers 404 to the
    location from before the cut, because the offset that is written in it is no longer right."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a registry answers where distribution-spec 1.1 leaves a choice.

    ``chunk_min_length`` and ``body_limit`` are bytes, ``page`` is rows of a list.
    """

    referrers: bool = True
    mount: bool = True
    single_post: bool = True
    relative_location: bool = False
    upload_status: bool = True
    ranges: bool = True
    redirect_blobs: bool = False
    after_cut: AfterCut = AfterCut.KEPT
    chunk_min_length: int | None = None
    body_limit: int | None = None
    page: int | None = None
