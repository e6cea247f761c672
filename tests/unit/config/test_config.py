"""config.yaml: what is good, and how what is bad is named."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from echo_node import database_url
from echo_node.codes import SegTransferSyntax, View
from echo_node.config import Backend, Config, Head, load
from echo_node.errors import ConfigError
from echo_node.store.database import Database

SHIPPED = Path(__file__).parents[3] / "config.yaml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_file_states_every_key_with_its_default():
    shipped, default = load(SHIPPED), Config()
    for section in Config.model_fields:
        assert getattr(shipped, section).model_fields_set == set(type(getattr(default, section)).model_fields)
    assert shipped.receive == default.receive
    assert shipped.deliver == default.deliver
    assert shipped.study == default.study


def test_relative_paths_count_from_the_file(tmp_path):
    config = load(written(tmp_path, "node: {storage: here}"))
    assert config.node.storage == tmp_path / "here"
    assert config.node.database_url == f"sqlite:///{tmp_path}/here/node.db"
    assert config.plan_cache == tmp_path / "here" / "plans"
    assert config.node_key == tmp_path / "here" / "node.key"
    assert load(written(tmp_path, "analyse: {plan_cache: fast}")).plan_cache == tmp_path / "fast"


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load(written(tmp_path, "")).receive == Config().receive


def test_views_and_heads_are_named(tmp_path):
    config = load(written(tmp_path, "routing: {disabled: {A2C: [ejection_fraction]}}"))
    assert config.routing.disabled == {View.A2C: (Head.EJECTION_FRACTION,)}


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("receive:\n  prot: 1\n", 2, "receive.prot", ("unknown key", "ae_title", "port")),
        ("receive:\n  host: a\n  port: 99999\n", 3, "receive.port", ("65535", "99999")),
        ("receive:\n  carts:\n    - hosts: [here]\n", 3, "receive.carts.0.hosts.0", ("192.0.2.7",)),
        ("receive:\n  carts:\n    - {hosts: [192.0.2.1], quiet_seconds: 9}\n", 3, "receive.carts.0", ("ae_title",)),
        ("receive: {ae_title: 'A\\B'}\n", 1, "receive.ae_title", ("backslash",)),
        ("analyse:\n\n  backend: cuda\n", 3, "analyse.backend", tuple(b.value for b in Backend)),
        ("routing:\n  disabled:\n    A4Z: []\n", 3, "routing.disabled.A4Z", ("A4C", "PLAX")),
        ("deliver:\n  destinations:\n    - name: a b\n", 3, "deliver.destinations.0.name", ("pattern",)),
        ("receive: {port: 0}\n", 1, "receive.port", ("from 1 to 65535", "found 0")),
        ("study: 3\n", 1, "study", ("a section with keys is needed", "quiet_seconds", "found 3")),
        ("receive:\n  carts: here\n", 2, "receive.carts", ("a list is needed", "'here'")),
        ("routing:\n  disabled: 5\n", 2, "routing.disabled", ("a section with keys is needed (",)),
        ("- 1\n", 1, "config.yaml", ("a section with keys is needed", "receive")),
        ("node: [\n", 2, "", ("not YAML",)),
        ("node: {}\nnode: {}\n", 2, "node", ("twice",)),
        ("node:\n  storage: a\x01b\n", 2, "", ("not YAML", "U+0001", "special characters")),
        ("node:\n  storage: 2024-13-45\n", 2, "", ("no timestamp", "in quotes")),
        ("node:\n  storage: !!int abc\n", 2, "", ("no int",)),
        ("node:\n  storage: !!bool abc\n", 2, "", ("no bool",)),
        ("node: &a\n  storage: *a\n", 1, "", ("alias",)),
        ("receive:\n  port: yes\n", 2, "receive.port", ("a number is needed", "found True")),
        ("receive: {max_object_mib: on}\n", 1, "receive.max_object_mib", ("a number is needed",)),
        ("study: {quiet_seconds: true}\n", 1, "study.quiet_seconds", ("a number is needed",)),
        ("routing: {view_threshold: no}\n", 1, "routing.view_threshold", ("a number is needed",)),
    ],
)
def test_a_fault_names_file_line_key_and_what_is_allowed(tmp_path, text, line, key, words):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    first = next(row for row in str(caught.value).splitlines() if key in row)
    assert first.startswith(f"{path}:{line}: {key}")
    for word in words:
        assert word in first


def test_a_file_that_has_no_end_of_brackets_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml: .*too deep"):
        load(written(tmp_path, "node: " + "[" * 3000))


@pytest.mark.parametrize(
    "host", ["pacs host", "http://x", "pacs/x", "pacs:104", "[::1]", "", "a" * 64, "a..b", "x\x7f"]
)
def test_a_destination_s_host_is_a_name_or_an_address_alone(tmp_path, host):
    entry = {"name": "p", "ae_title": "P", "host": host, "port": 104}
    with pytest.raises(ConfigError, match=r":1: deliver\.destinations\.0\.host: "):
        load(written(tmp_path, json.dumps({"deliver": {"destinations": [entry]}})))


@pytest.mark.parametrize(
    "host", ["::1", "fe80::1%eth0", "192.0.2.10", "pacs", "pacs_1.example.org.", "пакс.example"]
)
def test_a_good_host_is_taken(tmp_path, host):
    entry = {"name": "p", "ae_title": "P", "host": host, "port": 104}
    config = load(written(tmp_path, json.dumps({"deliver": {"destinations": [entry]}})))
    assert config.deliver.destinations[0].host == host


def test_every_fault_is_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, "receive: {port: 0}\nstudy: {quiet_seconds: -1}\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_list_whose_only_item_is_wrong_is_not_called_empty(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, "receive: {carts: [{hosts: [10.0.0.300]}]}\n"))
    (fault,) = str(caught.value).splitlines()
    assert "receive.carts.0.hosts.0: an address" in fault
    with pytest.raises(ConfigError, match=r"receive\.carts\.0\.hosts: .*at least 1"):
        load(written(tmp_path, "receive: {carts: [{hosts: []}]}\n"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("ae_title: P", "either ae_title, host and port (C-STORE) or url (STOW-RS); missing: host, port"),
        ("url: 'https://h/dicom-web', ae_title: P", "ae_title: not beside url"),
        ("ae_title: P, host: h, port: 104, token_file: t", "token_file: only beside url"),
        ("url: 'https://h', user: u", "user and password_file go together"),
        (
            "url: 'https://h', user: u, password_file: p, token_file: t",
            "either user and password_file, or token_file",
        ),
        ("url: 'https://h', commitment: request", "commitment: not beside url"),
        ("ae_title: P, host: h, port: 104, commitment: yes", "'none', 'request' or 'find'"),
        ("url: 'ftp://h'", "pattern"),
        ("url: 'https://user:secret@h'", "pattern"),
        ("url: 'https://h:high/dicom-web'", "Port could not be cast"),
        ("url: 'https://:8043/dicom-web'", "like https://pacs.example.org"),
        ("url: 'https://[x/dicom-web'", "Invalid IPv6 URL"),
        ("url: 'http://h/dicom-web', user: u, password_file: p", "url: https is needed beside password_file"),
        ("url: 'http://192.0.2.7:8042', token_file: t", "url: https is needed beside token_file"),
        ("url: 'http://localhost.example.org', token_file: t", "url: https is needed beside token_file"),
    ],
)
def test_a_destination_is_an_application_entity_or_a_web_service(tmp_path, keys, words):
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, f"deliver:\n  destinations:\n    - {{name: pacs, {keys}}}\n"))
    assert ":3: deliver.destinations.0" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        "url: 'http://127.0.0.1:8042/dicom-web', user: u, password_file: p",
        "url: 'http://[::1]:8042/dicom-web', token_file: t",
        "url: 'http://localhost/dicom-web', token_file: t",
        "url: 'https://h/dicom-web', token_file: t",
        "url: 'http://h/dicom-web'",
    ],
)
def test_a_secret_goes_by_https_or_stays_on_the_machine(tmp_path, keys):
    load(written(tmp_path, f"deliver: {{destinations: [{{name: pacs, {keys}}}]}}\n"))


def test_files_of_a_destination_count_from_the_file(tmp_path):
    keys = "{name: pacs, url: 'https://h/dicom-web', token_file: secret/token, ca_file: /etc/ca.pem}"
    (pacs,) = load(written(tmp_path, f"deliver: {{destinations: [{keys}]}}")).deliver.destinations
    assert pacs.token_file == tmp_path / "secret" / "token"
    assert pacs.ca_file == Path("/etc/ca.pem")
    assert pacs.password_file is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file.*--config"):
        load(tmp_path / "none.yaml")


def test_two_destinations_may_not_share_a_name(tmp_path):
    entry = "{name: pacs, ae_title: P, host: h, port: 104}"
    with pytest.raises(ConfigError, match="each name may stand once"):
        load(written(tmp_path, f"deliver: {{destinations: [{entry}, {entry}]}}\n"))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/echo-node/node.db",
        "sqlite+pysqlite:////var/lib/echo node/node.db",
        "postgresql://localhost/echo_node",
        "postgresql+psycopg://echo_node@/echo_node?host=/run/postgresql",
        "postgresql+psycopg://u:p#s/:?x@db.example:5433/echo_node?sslmode=require",
        "postgresql://u@[2001:db8::7]:5432/echo_node",
    ],
)
def test_a_good_database_is_taken_as_sqlalchemy_takes_it(tmp_path, url):
    assert load(written(tmp_path, f"node: {{database: '{url}'}}\n")).node.database_url == url
    Database(url).dispose()
    assert sa.make_url(url).database in ("/var/lib/echo-node/node.db", "/var/lib/echo node/node.db", "echo_node")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("node.db", "is no SQLAlchemy URL"),
        ("/var/lib/echo-node/node.db", "is no SQLAlchemy URL"),
        ("sqlite:node.db", "is no SQLAlchemy URL"),
        ("sqlite:///node.db", "sqlite:////var/lib/echo-node/node.db"),
        ("sqlite:////x/../../node.db?mode=ro", "sqlite:////var/lib/echo-node/node.db"),
        ("sqlite://", "sqlite:////var/lib/echo-node/node.db"),
        ("sqlite:///:memory:", "sqlite:////var/lib/echo-node/node.db"),
        ("sqlite:////", "sqlite:////var/lib/echo-node/node.db"),
        (
            "mysql://user@host/echo_node",
            "'mysql' is no driver of the node; allowed: postgresql, ",
        ),
        ("postgresql+psycopg2://user@host/echo_node", "'postgresql+psycopg2' is no driver of the node"),
        ("postgres://user@host/echo_node", "'postgres' is no driver of the node"),
        ("postgresql://user@host", "postgresql+psycopg://user@host/echo_node"),
        ("postgresql://user@host:high/echo_node", "postgresql+psycopg://user@host/echo_node"),
        ("postgresql://user@host:99999/echo_node", "a port is 1 to 65535"),
        ("postgresql:echo_node", "is no SQLAlchemy URL"),
    ],
)
def test_a_database_that_is_none_is_named(tmp_path, url, words):
    path = written(tmp_path, f"node:\n  storage: here\n  database: '{url}'\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:3: node.database: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["node: 'x://u:geheim@h/db'\n", "node: ['geheim']\n", "- 'geheim'\n"])
def test_what_stands_where_a_password_belongs_is_not_repeated(tmp_path, text):
    with pytest.raises(ConfigError, match="a section with keys is needed") as caught:
        load(written(tmp_path, text))
    assert "geheim" not in str(caught.value)


def test_a_bad_database_s_password_is_not_repeated(tmp_path):
    for url in ("postgresql://u:CANARY@host:high/x", "mysql://u:CANARY@host/x", "u:CANARY@host"):
        with pytest.raises(ConfigError) as caught:
            load(written(tmp_path, f"node: {{database: '{url}'}}\n"))
        assert "CANARY" not in str(caught.value)


def test_postgresql_without_its_driver_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(database_url, "find_spec", lambda _: None)
    load(written(tmp_path, "node: {database: 'sqlite:////x/node.db'}\n"))
    with pytest.raises(ConfigError, match=r"node.database: PostgreSQL needs psycopg: pip install"):
        load(written(tmp_path, "node: {database: 'postgresql://host/echo_node'}\n"))


@pytest.mark.parametrize("forms", ["sr, sr_comprehensive", "seg, sr_tid5200, sr_tid5200_srt", "seg, seg_labelmap"])
def test_one_destination_gets_one_form_of_a_report(tmp_path, forms):
    entry = f"{{name: pacs, ae_title: PACS, host: 192.0.2.10, port: 104, objects: [{forms}]}}"
    with pytest.raises(ConfigError, match="one result in two forms"):
        load(written(tmp_path, f"deliver: {{destinations: [{entry}]}}\n"))


def test_a_destination_that_would_get_nothing_is_refused(tmp_path):
    entry = "{name: pacs, ae_title: PACS, host: 192.0.2.10, port: 104, objects: []}"
    with pytest.raises(ConfigError, match=r"objects: .*at least 1 item"):
        load(written(tmp_path, f"deliver: {{destinations: [{entry}]}}\n"))


def test_a_destination_may_ask_for_every_report(tmp_path):
    entry = "{name: pacs, ae_title: PACS, host: 192.0.2.10, port: 104, objects: [sr, sr_tid5200_srt, sr_tid5300]}"
    destination = load(written(tmp_path, f"deliver: {{destinations: [{entry}]}}\n")).deliver.destinations[0]
    assert [kind.value for kind in destination.objects] == ["sr", "sr_tid5200_srt", "sr_tid5300"]


def test_jpeg_ls_is_for_label_maps(tmp_path):
    entry = "{name: pacs, ae_title: PACS, host: 192.0.2.10, port: 104, seg_transfer_syntax: jpeg_ls, objects: [%s]}"
    text = f"deliver: {{destinations: [{entry}]}}\n"
    (destination,) = load(written(tmp_path, text % "sr, seg_labelmap")).deliver.destinations
    assert destination.seg_transfer_syntax is SegTransferSyntax.JPEG_LS
    with pytest.raises(ConfigError, match="jpeg_ls goes with seg_labelmap; seg has one bit a pixel"):
        load(written(tmp_path, text % "sr, seg"))
