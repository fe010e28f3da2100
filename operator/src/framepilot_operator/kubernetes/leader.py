"""Which of several replicas works: the holder of a Lease.

Each step of the election (take, renew, look who holds it) is `kubernetes.aio.leaderelection`'s. The rest of it is not
used. Its loop waits without limit for a server that does not answer, goes on working for the whole renewal deadline
after it has seen another holder, does not notice that the work ended, and never gives the lease back; its lock cannot
create a Lease (37.0.2). Here every step has a time limit, and one moment counts: the lease is ours until the renewal
deadline after we *asked* for what was granted last. Others may take it only later, after its full duration.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from framepilot_operator.cluster.kube_api import ApiError, JsonObject, Kind, KubeApi

LEASES: Final = Kind("coordination.k8s.io", "v1", "leases")
LEASE_NAME: Final = "framepilot-operator"
SHORTEST_S: Final = 3
RELEASE_WITHIN_S: Final = 3.0

_log = logging.getLogger(__name__)


class LeadershipLostError(Exception):
    """The process may not write any more; another one may be working by now."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Which Lease, under which name for this process, and how long it lasts without a renewal.

    `identity` must differ between any two processes, also between a process and the one started in its place.
    """

    namespace: str
    identity: str
    duration_s: int = 15
    name: str = LEASE_NAME

    @property
    def renew_within_s(self) -> float:
        """A holder that could not renew for so long stops."""
        return self.duration_s * 2 / 3

    @property
    def retry_s(self) -> float:
        """The pause between two steps: how soon a lease that is given back is taken."""
        return min(2.0, max(1.0, self.duration_s * 2 / 15))


class Leadership:
    """The claim of this process to the Lease."""

    def __init__(
        self,
        api: KubeApi,
        lease: LeaseSettings,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`clock` decides how long the lease is ours; `now` is only written down, for people."""
        self._lease = lease
        self._clock = clock
        self._ours_until: float | None = None
        self._trouble: str | None = "it was not asked for yet"
        self._lock = _Lock(api, lease, now)
        self._election = LeaderElection(
            Config(
                self._lock,
                lease_duration=lease.duration_s,
                renew_deadline=lease.renew_within_s,
                retry_period=lease.retry_s,
                onstarted_leading=_nothing,
                onstopped_leading=_nothing,
            )
        )

    @property
    def trouble(self) -> str | None:
        """Why it is not known who holds the lease; None while it is known."""
        return self._trouble

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        _log.info("waiting for the lease %s/%s", self._lease.namespace, self._lease.name)
        while not await self._step():  # noqa: ASYNC110 another process decides, and says nothing
            await asyncio.sleep(self._lease.retry_s)
        _log.info("leading as %s", self._lease.identity)

    async def keep(self) -> NoReturn:
        """Renew the lease for as long as that works.

        Raises:
            LeadershipLostError: it is not ours any more.
        """
        while True:
            await asyncio.sleep(self._lease.retry_s)
            self.check()
            if not await self._step():
                self._refuse_another_holder()

    def check(self) -> None:
        """Return if this process may write now.

        Raises:
            LeadershipLostError: it may not.
        """
        if self._ours_until is None or self._clock() >= self._ours_until:
            reason = self._trouble or "this process did not run"
            raise LeadershipLostError(f"the lease was not renewed for {self._lease.renew_within_s:g} s: {reason}")

    async def release(self) -> None:
        """Give the lease back, if it is ours, so that another process takes it at its next look.

        From here on this process may not write. What fails is only logged: the lease ends by itself.
        """
        self._ours_until = None
        try:
            async with asyncio.timeout(RELEASE_WITHIN_S):
                released = await self._lock.release()
        except (ApiError, TimeoutError) as error:
            _log.warning("the lease is not given back (%s): it ends in %d s", _why(error), self._lease.duration_s)
        else:
            if released:
                _log.info("the lease is given back")

    async def _step(self) -> bool:
        asked_at = self._clock()
        try:
            async with asyncio.timeout(self._lease.renew_within_s / 2):
                ours = await self._election.try_acquire_or_renew()
        except Exception as error:  # noqa: BLE001 whatever it is, it is tried again until the deadline
            before, self._trouble = self._trouble, _why(error)
            if self._trouble != before:
                _log.warning("the lease cannot be asked for: %s", self._trouble)
            return False
        self._trouble = None
        if ours:
            self._ours_until = asked_at + self._lease.renew_within_s
        return ours

    def _refuse_another_holder(self) -> None:
        holder = self._election.observed_record and self._election.observed_record.holder_identity
        if holder and holder != self._lease.identity:
            self._ours_until = None
            raise LeadershipLostError(f"the lease is held by {holder}")


class _Lock(BaseLock):
    """A Lease, as the library's election reads and writes it. What the API server refuses, conflicts apart, is raised.

    A write is refused if the Lease is not what was read last.
    """

    def __init__(self, api: KubeApi, lease: LeaseSettings, now: Callable[[], float]) -> None:
        super().__init__(lease.name, lease.namespace, lease.identity)
        self._api = api
        self._duration_s = lease.duration_s
        self._now = now
        self._read: JsonObject = {}

    async def get(
        self, name: str, namespace: str
    ) -> tuple[bool, LeaderElectionRecord] | tuple[bool, Exception] | tuple[bool, None]:
        found = await self._api.get(LEASES, namespace, name)
        if found is None:
            missing = ApiException(404)
            missing.body = json.dumps({"code": 404})
            return False, missing
        self._read = found
        spec = _part(found, "spec")
        if not spec.get("holderIdentity"):
            return True, None
        # The library takes a Lease for free when a part of it is missing, whoever holds it.
        parts = (str(spec.get(each, "")) for each in ("leaseDurationSeconds", "acquireTime", "renewTime"))
        return True, LeaderElectionRecord(str(spec["holderIdentity"]), *parts)

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:  # noqa: ARG002
        manifest: JsonObject = {
            "apiVersion": f"{LEASES.group}/{LEASES.version}",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace},
            "spec": self._taken({}),
        }
        try:
            await self._api.create(LEASES, manifest)
        except ApiError as error:
            return _faster(error)
        return True

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:  # noqa: ARG002
        spec = _part(self._read, "spec")
        ours = spec.get("holderIdentity") == self.identity
        return await self._write({"renewTime": self._time()} if ours else self._taken(spec))

    async def release(self) -> bool:
        """Whether it was ours, and is free now."""
        found = await self._api.get(LEASES, self.namespace, self.name)
        if found is None or _part(found, "spec").get("holderIdentity") != self.identity:
            return False
        self._read = found
        return await self._write({"holderIdentity": None})

    async def _write(self, spec: JsonObject) -> bool:
        version = _part(self._read, "metadata").get("resourceVersion")
        try:
            patch: JsonObject = {"metadata": {"resourceVersion": version}, "spec": spec}
            await self._api.merge(LEASES, self.namespace, self.name, patch)
        except ApiError as error:
            return _faster(error)
        return True

    def _taken(self, before: JsonObject) -> JsonObject:
        transitions = before.get("leaseTransitions")
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._duration_s,
            "acquireTime": self._time(),
            "renewTime": self._time(),
            "leaseTransitions": transitions + 1 if isinstance(transitions, int) else 0,
        }

    def _time(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _faster(error: ApiError) -> bool:
    """False if another process was faster; any other failure is raised."""
    if error.conflict:
        return False
    raise error


def _part(manifest: JsonObject, name: str) -> JsonObject:
    part = manifest.get(name)
    return part if isinstance(part, dict) else {}


def _why(error: Exception) -> str:
    return "the API server does not answer" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


async def _nothing() -> None:
    """What runs while leading is not the library's business here."""
