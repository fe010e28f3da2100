"""What the pod of an instance has beside what Framepilot gives it: a few of the fields of a pod.

The names are Kubernetes' own, so that what is known of pods holds here. Only what cannot break the instance is listed,
and what Framepilot sets itself is reserved.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from framepilot.contract.graph import duplicates
from framepilot.resources.meta import ResourcePart
from framepilot.resources.quantities import Amount, amount
from framepilot.resources.text import Form, Name, ObjectName, list_atomic, list_map, refuse_scalars, rules

RESERVED_PREFIX: Final = "framepilot-"
"""Volumes of such a name are Framepilot's."""
RESERVED_PATHS: Final = ("/etc/framepilot", "/run/framepilot", "/cache", "/tmp", "/dev/shm")  # noqa: S108 - not used as a folder here
"""Folders that Framepilot mounts; nothing else may be mounted there or below."""
RESERVED_ENV: Final = ("HOME", "USER", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that Framepilot sets."""

_DOMAIN: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

ResourceName = Annotated[
    str,
    Form(
        f"cpu|memory|ephemeral-storage|hugepages-[0-9]{{1,4}}[KMG]i|{_DOMAIN}/{_LABEL}",
        "a resource: cpu, memory, ephemeral-storage, or one of a device plugin, such as nvidia.com/gpu",
        317,
    ),
]
LabelKey = Annotated[str, Form(f"({_DOMAIN}/)?{_LABEL}", "a label key, such as kubernetes.io/arch", 317)]
LabelValue = Annotated[
    str, Form(f"({_LABEL})?", "a label value: letters, digits, '-', '_' and '.' between them, at most 63", 63)
]
EnvName = Annotated[
    str,
    Form(
        "[A-Za-z_][A-Za-z0-9_]*",
        "a variable's name: letters, digits and '_', not beginning with a digit, at most 128",
        128,
    ),
]
MountPath = Annotated[
    str,
    Form(
        # No segment is '.' or '..': a path says where it is.
        "(/[.]?[A-Za-z0-9_-][A-Za-z0-9._-]*)+",
        "the path of a mount: absolute, such as /models, of letters, digits, '.', '_' and '-', without . and ..",
        256,
    ),
]
Text = Annotated[str, BeforeValidator(refuse_scalars), Field(max_length=4096)]
Amounts = Annotated[dict[ResourceName, Amount], Field(max_length=16)]

_AMOUNTS_FIT: Final = (
    "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits)"
    " || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name]))"
    " || !quantity(string(self.requests[name])).isGreaterThan(quantity(string(self.limits[name]))))"
)
_MOUNTS_HAVE_VOLUMES: Final = (
    "!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))"
)
_SOURCES: Final = ("persistentVolumeClaim", "configMap", "secret", "emptyDir")
_ONE_SOURCE: Final = " + ".join(f"(has(self.{source}) ? 1 : 0)" for source in _SOURCES) + " == 1"
_RESERVED_PATH: Final = (
    f"![{', '.join(repr(path) for path in RESERVED_PATHS)}]"
    ".exists(p, self.mountPath == p || self.mountPath.startsWith(p + '/'))"
)

_SAY_ONE_SOURCE: Final = f"a volume has exactly one source; write one of {', '.join(_SOURCES)}"
_SAY_RESERVED_PREFIX: Final = f"names that begin with {RESERVED_PREFIX} are Framepilot's; choose another"
_SAY_RESERVED_PATH: Final = (
    f"{', '.join(RESERVED_PATHS)} are Framepilot's; mount the volume elsewhere, such as at /models"
)
_SAY_RESERVED_ENV: Final = f"{', '.join(RESERVED_ENV)} are set by Framepilot; remove the variable"


class Resources(ResourcePart):
    """What the instance's container is given: the scheduler goes by requests, the node enforces limits."""

    model_config = ConfigDict(
        json_schema_extra=rules((_AMOUNTS_FIT, "a request must not be larger than its limit; raise the limit"))
    )

    requests: Amounts = Field(default_factory=dict)
    """Such as `cpu: 2` or `memory: 4Gi`, fractions in quotes; a limit without a request is its request, too."""
    limits: Amounts = Field(default_factory=dict)
    """Such as `memory: 4Gi` or `nvidia.com/gpu: 1`."""

    @model_validator(mode="after")
    def _requests_fit(self) -> Self:
        for name, text in self.requests.items():
            if name in self.limits and amount(text) > amount(self.limits[name]):
                raise ValueError(
                    f"a request must not be larger than its limit: {name} {text} is more than {self.limits[name]}; "
                    "raise the limit, or lower the request"
                )
        return self


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ResourcePart):
    """A taint of nodes on which the instance may run all the same."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.operator != 'Exists' || !has(self.value)", "operator Exists takes no value; remove it"),
            (
                "self.operator != 'Equal' || has(self.key)",
                "operator Equal needs key; add it, or write operator: Exists",
            ),
        )
    )

    key: LabelKey | None = None
    """The taint's key; absent, with operator Exists: every taint."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """Equal: the taint's value is `value`. Exists: whatever its value is."""
    value: LabelValue | None = None
    effect: TaintEffect | None = None
    """The taint's effect; absent: every effect."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.operator is TolerationOperator.EXISTS and self.value is not None:
            raise ValueError("operator Exists takes no value; remove it, or write operator: Equal")
        if self.operator is TolerationOperator.EQUAL and self.key is None:
            raise ValueError("operator Equal needs key; add it, or write operator: Exists")
        return self


class EnvVar(ResourcePart):
    """An environment variable of the instance's container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"!(self.name in [{', '.join(repr(name) for name in RESERVED_ENV)}])",
                _SAY_RESERVED_ENV,
            )
        )
    )

    name: EnvName
    value: Text = ""

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        if self.name in RESERVED_ENV:
            raise ValueError(_SAY_RESERVED_ENV)
        return self


class PersistentVolumeClaimSource(ResourcePart):
    """A claim in the service's namespace, such as one that holds models."""

    claim_name: ObjectName
    read_only: bool = False


class ConfigMapSource(ResourcePart):
    """The keys of a ConfigMap in the service's namespace, as files."""

    name: ObjectName


class SecretSource(ResourcePart):
    """The keys of a Secret in the service's namespace, as files."""

    secret_name: ObjectName


class EmptyDirSource(ResourcePart):
    """An empty folder that lives as long as the pod."""

    size_limit: Amount | None = None
    """What may be written into it at most, such as `1Gi`."""


class Volume(ResourcePart):
    """A volume of the pod, with exactly one source; `volumeMounts` says where it is."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (_ONE_SOURCE, _SAY_ONE_SOURCE),
            (f"!self.name.startsWith('{RESERVED_PREFIX}')", _SAY_RESERVED_PREFIX),
        )
    )

    name: Name
    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    empty_dir: EmptyDirSource | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.name.startswith(RESERVED_PREFIX):
            raise ValueError(_SAY_RESERVED_PREFIX)
        sources = (self.persistent_volume_claim, self.config_map, self.secret, self.empty_dir)
        if sum(source is not None for source in sources) != 1:
            raise ValueError(_SAY_ONE_SOURCE)
        return self


class VolumeMount(ResourcePart):
    """Where a volume is in the instance's container."""

    model_config = ConfigDict(json_schema_extra=rules((_RESERVED_PATH, _SAY_RESERVED_PATH)))

    name: Name
    """One of `volumes`."""
    mount_path: MountPath
    read_only: bool = False

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        path = f"{self.mount_path}/"
        if any(path.startswith(f"{reserved}/") for reserved in RESERVED_PATHS):
            raise ValueError(_SAY_RESERVED_PATH)
        return self


class ImagePullSecret(ResourcePart):
    """A Secret of type kubernetes.io/dockerconfigjson in the service's namespace."""

    name: ObjectName


class InstanceTemplate(ResourcePart):
    """What the pod of an instance has beside what Framepilot gives it. Not used on one machine."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (_MOUNTS_HAVE_VOLUMES, "every entry of volumeMounts must name one of volumes; add the volume"),
        )
    )

    resources: Resources = Resources()
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    """Labels that a node must have to run an instance."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16, json_schema_extra=list_atomic())] = ()
    env: Annotated[tuple[EnvVar, ...], Field(max_length=32, json_schema_extra=list_map("name"))] = ()
    volumes: Annotated[tuple[Volume, ...], Field(max_length=16, json_schema_extra=list_map("name"))] = ()
    volume_mounts: Annotated[
        tuple[VolumeMount, ...], Field(max_length=16, json_schema_extra=list_map("mountPath"))
    ] = ()
    image_pull_secrets: Annotated[
        tuple[ImagePullSecret, ...], Field(max_length=8, json_schema_extra=list_map("name"))
    ] = ()
    """What the instance's image is pulled with, beside what the operator is set to use."""

    @property
    def devices(self) -> dict[str, int]:
        """The devices that it asks for, by resource, such as `nvidia.com/gpu`: each goes to one pod only."""
        asked = {**self.resources.requests, **self.resources.limits}
        counts = {name: int(amount(count)) for name, count in asked.items() if "/" in name}
        return {name: count for name, count in sorted(counts.items()) if count > 0}

    @model_validator(mode="after")
    def _names(self) -> Self:
        volumes = [volume.name for volume in self.volumes]
        problems = [
            *duplicates("env", [variable.name for variable in self.env]),
            *duplicates("volumes", volumes),
            *duplicates("volumeMounts", [mount.mount_path for mount in self.volume_mounts]),
            *duplicates("imagePullSecrets", [secret.name for secret in self.image_pull_secrets]),
            *(
                f"every entry of volumeMounts must name one of volumes: there is no '{mount.name}'; add the volume"
                for mount in self.volume_mounts
                if mount.name not in volumes
            ),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self
