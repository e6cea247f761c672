"""config.yaml as frozen settings.

``load`` reads the file once; an unknown key or a bad value is a :class:`ConfigError` that names the
file, the line, the key and what is allowed. Each key's unit and the reason for its default stand in
the config.yaml that ships with the node.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from echo_node import database_url, web_url
from echo_node.codes import BY_PERSONS, ObjectKind, SegTransferSyntax, View
from echo_node.config_faults import faults, read
from echo_node.errors import ConfigError


class Backend(enum.Enum):
    """Inference runtimes."""

    ONNXRUNTIME_CPU = "onnxruntime-cpu"
    ONNXRUNTIME_CUDA = "onnxruntime-cuda"
    TENSORRT = "tensorrt"


class LogLevel(enum.Enum):
    """Log levels."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Head(enum.Enum):
    """What routing can send a clip to."""

    SEGMENTATION = "segmentation"
    EJECTION_FRACTION = "ejection_fraction"
    HYPERTROPHY = "hypertrophy"


class Commitment(enum.Enum):
    """How a destination confirms that it keeps what it was sent."""

    NONE = "none"
    REQUEST = "request"  # storage commitment
    FIND = "find"  # C-FIND


def checked_ae_title(value: str) -> str:
    """An AE title has 1 to 16 printable characters, no backslash (PS3.5 6.2)."""
    if not 1 <= len(value.strip()) <= 16 or not value.isascii() or not value.isprintable() or "\\" in value:
        raise ValueError("an AE title has 1 to 16 printable ASCII characters and no backslash")
    return value.strip()


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("an address (192.0.2.7) or network (192.0.2.0/24) is needed") from None
    return value


def _host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if re.fullmatch(r"[^\s/:@\[\]]+", value) is None or not value.isprintable():
            raise ValueError("a name or an address alone is needed, without scheme, port, slash or blank") from None
        try:
            value.encode("idna")
        except UnicodeError:
            raise ValueError("no host has such a name: between two dots are 1 to 63 characters") from None
    return value


def _number(value: Any) -> Any:
    """YAML reads yes and no as booleans, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not yes or no")
    return value


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    if not parts.hostname or parts.port == 0:  # a port that is none raises here
        raise ValueError("a URL like https://pacs.example.org/dicom-web is needed")
    return value


_SECRET = ("node", "database")  # its value may hold a password


def _view(name: Any) -> Any:
    """config.yaml names views as ``A4C``; the enum's values are codes."""
    if isinstance(name, View):
        return name
    known = {view.name: view for view in View}
    if name not in known:
        raise ValueError(f"{name!r} is no view; allowed: {', '.join(known)}")
    return known[name]


AETitle = Annotated[str, AfterValidator(checked_ae_title)]
Count = Annotated[int, BeforeValidator(_number)]
DatabaseURL = Annotated[str, AfterValidator(database_url.checked)]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
Port = Annotated[Count, AfterValidator(_port)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, le=86400 * 7)]
WebURL = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(_url)]
ViewName = Annotated[View, BeforeValidator(_view)]
Probability = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Node(_Section):
    """The node itself."""

    storage: Path = Path("storage")
    database: DatabaseURL = ""  # empty: SQLite in the storage folder
    log_level: LogLevel = LogLevel.INFO

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database or f"sqlite:///{self.storage / 'node.db'}"


class Cart(_Section):
    """A sender that may store: its AE title (None: any) and the addresses it may come from."""

    ae_title: AETitle | None = None
    hosts: tuple[Network, ...] = Field(min_length=1)
    quiet_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _quiet_time_has_an_owner(self) -> Cart:
        if self.quiet_seconds is not None and self.ae_title is None:
            raise ValueError("quiet_seconds needs the cart's ae_title: for all carts it is study.quiet_seconds")
        return self


class Receive(_Section):
    """The storage SCP."""

    ae_title: AETitle = "ECHONODE"
    host: str = "127.0.0.1"
    port: Port = 11112
    carts: tuple[Cart, ...] = (Cart(hosts=("127.0.0.0/8",)),)
    max_associations: Count = Field(default=32, ge=1, le=1000)
    max_associations_per_host: Count = Field(default=8, ge=1, le=1000)
    max_object_mib: Count = Field(default=4096, ge=1)
    pdu_kib: Count = Field(default=256, ge=16, le=4096)
    first_pdu_seconds: Seconds = 10
    pdu_seconds: Seconds = 60
    idle_seconds: Seconds = 300
    drain_seconds: Seconds = 60
    min_free_disk_mib: Count = Field(default=2048, ge=0)


class Study(_Section):
    """When a study is complete."""

    quiet_seconds: Seconds = 120
    close_on_association_end: bool = False
    association_grace_seconds: Seconds = 5
    hard_cap_seconds: Seconds = 4 * 3600


class Analyse(_Section):
    """The engine and its workers."""

    engine: Path = Path("engines/echoapex-tiny-phantom")
    backend: Backend = Backend.ONNXRUNTIME_CPU
    threads: Count = Field(default=0, ge=0, le=256)  # 0: all cores
    plan_cache: Path | None = None  # None: plans/ in the storage folder
    lease_seconds: Seconds = 600
    max_attempts: Count = Field(default=3, ge=1, le=20)
    max_frames: Count = Field(default=600, ge=2)


class Results(_Section):
    """How much of a study is sent beside its documents."""

    max_clips: Count = Field(default=50, ge=0)
    max_mib: Count = Field(default=512, ge=1)


class Routing(_Section):
    """Which clips are measured."""

    view_threshold: Probability | None = None  # None: the engine's own, from its manifest
    disabled: dict[ViewName, tuple[Head, ...]] = {}


_FORMS = (  # of one result: both in one archive would be read as two results
    (ObjectKind.SR, ObjectKind.SR_COMPREHENSIVE),
    (ObjectKind.SR_TID5200, ObjectKind.SR_TID5200_SRT),
    (ObjectKind.SEG, ObjectKind.SEG_LABELMAP),
)


class Destination(_Section):
    """An archive that results are sent to: by C-STORE, or by STOW-RS where it has a url."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    ae_title: AETitle | None = None
    host: Host | None = None
    port: Port | None = None
    url: WebURL | None = None
    user: str | None = Field(default=None, min_length=1)
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    objects: tuple[ObjectKind, ...] = Field(default=(ObjectKind.SR, ObjectKind.SEG), min_length=1)
    seg_transfer_syntax: SegTransferSyntax = SegTransferSyntax.UNCOMPRESSED
    commitment: Commitment = Commitment.NONE

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Destination:
        given = {key for key in type(self).model_fields if getattr(self, key) is not None}
        dimse, web = {"ae_title", "host", "port"}, {"user", "password_file", "token_file", "ca_file"}
        if self.url is None and not dimse <= given:
            missing = ", ".join(sorted(dimse - given))
            raise ValueError(f"either ae_title, host and port (C-STORE) or url (STOW-RS); missing: {missing}")
        if self.url is None and web & given:
            raise ValueError(f"{', '.join(sorted(web & given))}: only beside url (STOW-RS)")
        if self.url is not None and dimse & given:
            raise ValueError(f"{', '.join(sorted(dimse & given))}: not beside url, which is STOW-RS")
        if self.url is not None and self.commitment is not Commitment.NONE:
            raise ValueError("commitment: not beside url; a STOW-RS answer names what is stored")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        if self.user is not None and self.token_file is not None:
            raise ValueError("either user and password_file, or token_file")
        secret = given & {"password_file", "token_file"}
        if self.url is not None and secret and not web_url.keeps_secrets(self.url):
            raise ValueError(f"url: https is needed beside {secret.pop()}; by http it could be read on the way")
        return self

    @model_validator(mode="after")
    def _asks_for_results(self) -> Destination:
        for kind in set(BY_PERSONS).intersection(self.objects):
            raise ValueError(f"objects: {kind.value} is sent by itself, to whoever gets what it is about")
        return self

    @model_validator(mode="after")
    def _has_one_form_of_each(self) -> Destination:
        for forms in _FORMS:
            asked = [kind.value for kind in forms if kind in self.objects]
            if len(asked) > 1:
                raise ValueError(f"objects: {' and '.join(asked)} are one result in two forms; ask for one")
        is_jpeg_ls = self.seg_transfer_syntax is SegTransferSyntax.JPEG_LS
        if is_jpeg_ls and ObjectKind.SEG_LABELMAP not in self.objects:
            raise ValueError("seg_transfer_syntax: jpeg_ls goes with seg_labelmap; seg has one bit a pixel")
        return self


class Deliver(_Section):
    """The outbox."""

    calling_ae_title: AETitle = "ECHONODE"
    destinations: tuple[Destination, ...] = ()
    first_retry_seconds: Seconds = 10
    max_retry_seconds: Seconds = 3600
    max_attempts: Count = Field(default=200, ge=1)
    connect_seconds: Seconds = 10
    response_seconds: Seconds = 60
    commitment_wait_seconds: Seconds = 5
    commitment_again_seconds: Seconds = 3600

    @model_validator(mode="after")
    def _names_are_unique(self) -> Deliver:
        names = [d.name for d in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("destinations: each name may stand once")
        return self


class Config(_Section):
    """Everything in config.yaml."""

    node: Node = Node()
    receive: Receive = Receive()
    study: Study = Study()
    analyse: Analyse = Analyse()
    routing: Routing = Routing()
    results: Results = Results()
    deliver: Deliver = Deliver()

    @property
    def plan_cache(self) -> Path:
        """The folder of TensorRT's plans."""
        return self.analyse.plan_cache or self.node.storage / "plans"

    @property
    def node_key(self) -> Path:
        """The file of the key that says what this node wrote."""
        return self.node.storage / "node.key"


def load(path: Path) -> Config:
    """Read and check config.yaml.

    Parameters
    ----------
    path : Path
        The file. Relative paths inside it count from its folder.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or a key or value is wrong. One line per fault:
        ``file:line: key: what is wrong``.
    """
    root, data = read(path)
    try:
        config = Config.model_validate({} if data is None else data)
    except ValidationError as error:
        raise ConfigError("\n".join(faults(path, root, error, Config, secrets=(_SECRET,)))) from error
    return _anchored(config, path.parent)


def _anchored(config: Config, folder: Path) -> Config:
    """The same settings with relative paths made absolute from the file's folder."""
    folder = folder.resolve()
    node = config.node.model_copy(update={"storage": folder / config.node.storage})
    cache = config.analyse.plan_cache
    anchored = {"engine": folder / config.analyse.engine, "plan_cache": None if cache is None else folder / cache}
    analyse = config.analyse.model_copy(update=anchored)
    destinations = tuple(_anchored_destination(d, folder) for d in config.deliver.destinations)
    deliver = config.deliver.model_copy(update={"destinations": destinations})
    return config.model_copy(update={"node": node, "analyse": analyse, "deliver": deliver})


def _anchored_destination(destination: Destination, folder: Path) -> Destination:
    files = {key: getattr(destination, key) for key in ("password_file", "token_file", "ca_file")}
    return destination.model_copy(update={key: folder / path for key, path in files.items() if path is not None})
