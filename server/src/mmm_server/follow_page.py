"""What a fetcher says while it stays: `GET /startupz` for kubelet, `GET /v1/status` for the operator and people."""

import json
from http import HTTPStatus
from typing import Final

from mmm_repository import OnProgress
from mmm_server.follow_state import Failure
from mmm_server.progress_page import PATH, Answer, ProgressPage
from mmm_server.wanted import WantedVersion

STARTUP_PATH: Final = "/startupz"


class FollowPage(ProgressPage):
    """The pages; a listener of fetches.

    `started` is whether the pod has its first version, `complaint` what is wrong with `wanted.json`, `failure` why the
    wanted version is not here.
    """

    def __init__(self, then: OnProgress) -> None:
        super().__init__(then)
        self.started = False
        self.complaint = ""
        self.failure: Failure | None = None
        self._wanted: WantedVersion | None = None
        self._fetching = True

    def begin(self, wanted: WantedVersion) -> None:
        """Takes note of a version that shall be fetched."""
        self.forget()
        self._wanted, self._fetching = wanted, True

    def done(self) -> None:
        """Takes note that it is there."""
        self._fetching = False

    def document(self) -> dict[str, object]:
        """How far the fetch is, as without staying; and what else there is to know."""
        wanted, failure = self._wanted, self.failure
        return {
            **super().document(),
            "state": "FETCHING" if self._fetching else "FOLLOWING",
            "wanted": {"version": wanted.version, "digest": wanted.digest} if wanted else None,
            "failed": failure.document() if failure else None,
            "complaint": self.complaint or None,
        }

    def answer(self, path: str) -> Answer:
        """The page at that path."""
        if path == PATH:
            return HTTPStatus.OK, json.dumps(self.document()).encode()
        if path == STARTUP_PATH:
            status = HTTPStatus.OK if self.started else HTTPStatus.SERVICE_UNAVAILABLE
            return status, json.dumps({"started": self.started}).encode()
        return HTTPStatus.NOT_FOUND, b'{"error": "there are only /startupz and /v1/status here"}'
