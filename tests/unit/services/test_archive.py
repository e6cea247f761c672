"""The archive that the demo has where Orthanc is not installed."""

import shutil
from types import SimpleNamespace

from echo_node.services import archive
from tests.peers import free_port


def test_it_takes_what_the_demo_s_node_takes_on_a_nearly_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200 << 20))
    port = free_port()
    kept = archive.FolderArchive(tmp_path, port=port)
    try:
        archive.wait_for_echo(archive.AE_TITLE, port, seconds=2)
    finally:
        kept.stop()
