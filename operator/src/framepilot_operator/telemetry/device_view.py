"""One view of a device out of all that is said of it: every value with its source and its age. Pure.

Of each quantity the newest of the most direct source is taken (`Origin`), if it is fresh. What is missing, old, of the
future or no number leaves its place to the next source, at last to nobody; what sources do not agree on is said. So a
broken source makes the view poorer and never wrong, and nothing waits for one.

Without a driver's word a device is as busy as its instances' batches make it: a lower bound. The operator asks no NVML
itself: on its machine an instance does, and before one runs nothing is decided that would need it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from framepilot.contract.observed import DeviceUse, UtilizationSource
from framepilot_operator.telemetry.measurement import Measurement, Origin, Quantity

FRESH_S: Final = 15.0
"""What is older says nothing of now: Prometheus scrapes every 15 s or more often where devices are watched."""

AHEAD_S: Final = 5.0
"""Clocks of machines may differ by so much; what is of a later moment is not believed."""

COMPARED_WITHIN_S: Final = 5.0
"""What was measured further apart may differ because the device did."""

MIB: Final = 2**20

TOLERANCES: Final[Mapping[Quantity, tuple[float, float]]] = {
    Quantity.UTILIZATION: (0.3, 0.0),
    Quantity.MEMORY_USED: (1024 * MIB, 0.1),
    Quantity.MEMORY_TOTAL: (1024 * MIB, 0.05),
    Quantity.TEMPERATURE: (10.0, 0.0),
}
"""By how much sources may differ: so much, or this share of the larger. Drivers keep back some memory that one source
counts as used and the other does not. Power and clocks change faster than they are measured, and are not compared."""


@dataclass(frozen=True, slots=True)
class Value:
    """A number, who says so, and how old it is."""

    value: float
    source: str
    age_s: float


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What is known of the device of an instance. What nobody says is None and never 0.

    `own` is the share of the time in which it ran batches of our instances, `others` the utilization that is not ours;
    None where no driver says what all that runs there makes of it. `pods` hold the device as a source has it, and
    `doubts` are sentences on what could not be taken as it was said.
    """

    uuid: str | None = None
    values: Mapping[Quantity, Value] = field(default_factory=dict)
    own: Value | None = None
    others: Value | None = None
    pods: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def utilization(self) -> Value | None:
        """The share of the time in which the device worked, for whomever."""
        return self.values.get(Quantity.UTILIZATION)

    @property
    def memory_used(self) -> Value | None:
        """Bytes in use, by whomever."""
        return self.values.get(Quantity.MEMORY_USED)

    @property
    def memory_total(self) -> Value | None:
        """Bytes that there are."""
        return self.values.get(Quantity.MEMORY_TOTAL)


@dataclass(frozen=True, slots=True)
class Said:
    """How an instance says that its device is used, heard `at` Unix seconds."""

    instance: str
    use: DeviceUse
    at: float

    @property
    def device(self) -> str:
        """What the instances of a device have in common. No UUID has a space in it, so none is another's name."""
        return self.use.uuid or f"device of {self.instance}"

    def measurements(self) -> Iterator[Measurement]:
        """What the driver told it, by this machine's clock."""
        use = self.use
        told = {
            Quantity.UTILIZATION: use.utilization if use.source is UtilizationSource.NVML else None,
            Quantity.MEMORY_USED: use.memory_used_bytes,
            Quantity.MEMORY_TOTAL: use.memory_total_bytes,
            Quantity.TEMPERATURE: use.temperature_celsius,
            Quantity.POWER: use.power_watts,
            Quantity.SM_CLOCK: use.sm_clock_hertz,
            Quantity.LAST_XID: use.last_xid,
        }
        at = self.at - (use.sample_age_s or 0.0)
        for quantity, value in told.items():
            if value is not None:
                yield Measurement(self.device, quantity, value, at, Origin.NVML, self.instance)


def device_views(said: Sequence[Said], scraped: Iterable[Measurement], now: float) -> dict[str, DeviceView]:
    """By instance: the view of its device. Instances of one GPU have the same one; a device without a UUID has one."""
    measured: defaultdict[str, list[Measurement]] = defaultdict(list)
    for each in (*(one for instance in said for one in instance.measurements()), *scraped):
        measured[each.uuid].append(each)
    sharing: defaultdict[str, list[Said]] = defaultdict(list)
    for instance in said:
        sharing[instance.device].append(instance)
    views = {
        device: _view(instances[0].use.uuid, instances, measured.get(device, ()), now)
        for device, instances in sharing.items()
    }
    return {instance.instance: views[instance.device] for instance in said}


def _view(uuid: str | None, instances: Sequence[Said], measured: Sequence[Measurement], now: float) -> DeviceView:
    doubts: list[str] = []
    values: dict[Quantity, Value] = {}
    for quantity in Quantity:
        found = [each for each in measured if each.quantity is quantity]
        taken = _taken(found, now)
        if taken is not None and taken.value is not None:
            values[quantity] = Value(taken.value, taken.source, max(0.0, now - taken.at))
        doubts += _doubts(found, taken, now)
    own = _own(instances, now)
    driver = values.get(Quantity.UTILIZATION)
    if driver is None and own is not None:
        values[Quantity.UTILIZATION] = own
    return DeviceView(
        uuid=uuid,
        values=values,
        own=own,
        others=_others(driver, own),
        pods=tuple(sorted({each.pod for each in measured if each.pod is not None and _fresh(each.at, now)})),
        # Two quantities of one source are in doubt for the same reason more often than not.
        doubts=tuple(dict.fromkeys(doubts)),
    )


def _taken(found: Sequence[Measurement], now: float) -> Measurement | None:
    usable = [each for each in found if each.value is not None and _fresh(each.at, now)]
    rank = list(Origin)
    return min(usable, key=lambda each: (rank.index(each.origin), -each.at, each.by), default=None)


def _fresh(at: float, now: float) -> bool:
    return -AHEAD_S <= now - at <= FRESH_S


def _own(instances: Sequence[Said], now: float) -> Value | None:
    """What our instances run on the device, all together; None while one of them has not said it of late."""
    ages_s = [now - each.at for each in instances]
    shares = [each.use.own for each in instances if each.use.own is not None and _fresh(each.at, now)]
    if len(shares) < len(instances):
        return None
    names = ", ".join(each.instance for each in instances)
    return Value(min(1.0, sum(shares)), f"{UtilizationSource.DEVICE_THREAD.value} ({names})", max(0.0, *ages_s))


def _others(driver: Value | None, own: Value | None) -> Value | None:
    if driver is None or own is None or abs(driver.age_s - own.age_s) > COMPARED_WITHIN_S:
        return None
    return Value(max(0.0, driver.value - own.value), driver.source, max(driver.age_s, own.age_s))


def _doubts(found: Sequence[Measurement], taken: Measurement | None, now: float) -> Iterator[str]:
    for each in found:
        age_s = now - each.at
        if age_s < -AHEAD_S:
            yield f"{each.source}: its clock is {-age_s:.0f} s ahead of this one, so it is not believed"
        elif age_s > FRESH_S:
            yield f"{each.source}: what it says is {age_s:.0f} s old"
        elif each.value is None:
            yield f"{each.source}: what it says of {each.quantity.value} is no number that can be"
        elif taken is not None and each is not taken and _differ(each, taken):
            yield (
                f"{each.quantity.value}: {taken.source} says {_text(taken)}, {each.source} {_text(each)}; "
                "the former is taken"
            )


def _differ(one: Measurement, other: Measurement) -> bool:
    if one.value is None or other.value is None or one.quantity not in TOLERANCES:
        return False
    absolute, share = TOLERANCES[one.quantity]
    allowed = max(absolute, share * max(abs(one.value), abs(other.value)))
    return abs(one.at - other.at) <= COMPARED_WITHIN_S and abs(one.value - other.value) > allowed


def _text(measurement: Measurement) -> str:
    value = measurement.value or 0.0
    match measurement.quantity:
        case Quantity.UTILIZATION:
            return f"{value:.0%}"
        case Quantity.MEMORY_USED | Quantity.MEMORY_TOTAL:
            return f"{value / MIB:.0f} MiB"
        case _:
            return f"{value:g}"
