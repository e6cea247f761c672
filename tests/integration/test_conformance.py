"""What the conformance statement says of negotiation is what a started receiver, and a peer of the sender, see."""

import itertools
import random
import re
import subprocess
import time
from pathlib import Path

import pytest
from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]
from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)

from echo_node.codes import FALLBACKS, ObjectKind
from echo_node.config import Config, Receive
from echo_node.dicom import scu
from echo_node.dicom.contexts import ANY_OTHER, known_classes
from echo_node.dicom.scp import LOCAL_LIMIT_EXCEEDED, Archives, Gate
from echo_node.records import DeliveryState, JobKind
from echo_node.reports import example
from echo_node.reports.contents import pick
from echo_node.services.addresses import addressed, wanted
from echo_node.services.conformance import statement
from echo_node.services.deliver import deliver_once
from echo_node.store import Store
from tests.integration.test_receive import Receiver
from tests.peers import free_port
from tests.statements import rows
from tests.unit.store.builders import POLICY, STUDY, Clock, received

MOST_CONTEXTS = 128
EXPLICIT = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture(scope="module")
def text() -> str:
    return statement(Config())


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    yield made
    made.scp.stop()


def listed(text: str, *tables: str) -> list[str]:
    """The UIDs of the second column; any other stands for a private one."""
    uids = [row[1] for name in tables for row in rows(text, name)]
    return [ANY_OTHER if uid == "any" else uid for uid in uids]


def accepted(receiver, pairs) -> set[tuple[str, str]]:
    """Which pairs of a class and a transfer syntax a receiver accepts, proposed each in a context of its own."""
    taken = set()
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, MOST_CONTEXTS)):
        ae = AE(ae_title="CART")
        ae.requested_contexts = [build_context(kind, syntax) for kind, syntax in batch]
        assoc = ae.associate("127.0.0.1", receiver.port, ae_title="ECHONODE")
        assert assoc.is_established or assoc.is_aborted  # pynetdicom aborts where nothing was accepted
        taken |= {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in assoc.accepted_contexts}
        if assoc.is_established:
            assoc.release()
        _wait_until_gone(receiver)
    return taken


def is_dicoms(uid: str) -> bool:
    return uid.startswith("1.2.840.10008.")


def _wait_until_gone(receiver) -> None:
    deadline = time.monotonic() + 20
    while receiver.scp._server.active_associations and time.monotonic() < deadline:
        time.sleep(0.01)


def test_every_listed_class_is_accepted_in_every_listed_transfer_syntax(text, receiver):
    classes, syntaxes = listed(text, "Table 4.2-1", "Table 4.2-2"), listed(text, "Table 4.2-3")
    assert {row[2] for row in rows(text, "Table 4.2-1")} == {"every one that is proposed"}
    assert {row[2] for row in rows(text, "Table 4.2-2")} == {"every one that is proposed"}
    assert {row[2] for row in rows(text, "Table 4.2-3")} == {"Yes"}
    assert len(classes) > 180
    assert len(syntaxes) > 60
    # Contexts of one class in one association share their transfer syntaxes: so one per class and association.
    pairs = [(kind, syntax) for syntax in syntaxes for kind in classes]
    assert accepted(receiver, pairs) == set(pairs)


def test_every_class_that_is_not_listed_is_rejected(text, receiver):
    classes = {*listed(text, "Table 4.2-1", "Table 4.2-2"), VERIFICATION}
    others = [known.uid for known in known_classes() if known.uid not in classes]
    no_classes = [
        uid for uid, (_, kind, *_) in UID_dictionary.items() if "SOP Class" not in kind and is_dicoms(uid)
    ]
    assert len(others) > 80
    pairs = [(uid, EXPLICIT) for uid in (*others, *no_classes)]
    assert accepted(receiver, pairs) == set()


def test_verification_is_accepted_in_the_listed_transfer_syntaxes_only(text, receiver):
    (row,) = rows(text, "Table 4.2-4")
    named = {UID_dictionary[uid][0]: uid for uid in listed(text, "Table 4.2-3") if uid in UID_dictionary}
    taken = accepted(receiver, [(VERIFICATION, uid) for uid in named.values()])
    assert taken == {(VERIFICATION, named[name]) for name in row[2].split(", ")}


def test_the_first_proposed_transfer_syntax_is_taken(receiver):
    ae = AE(ae_title="CART")
    ae.add_requested_context(ANY_OTHER, ["1.2.840.10008.1.2.4.50", EXPLICIT, "1.2.840.10008.1.2"])
    assoc = ae.associate("127.0.0.1", receiver.port, ae_title="ECHONODE")
    assert assoc.accepted_contexts[0].transfer_syntax == ["1.2.840.10008.1.2.4.50"]
    assoc.release()


def test_what_is_negotiated_beside_contexts(text, receiver):
    policies = dict(rows(text, "4.2.1.2 Association policies"))
    window, role = AsynchronousOperationsWindowNegotiation(), SCP_SCU_RoleSelectionNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    role.sop_class_uid, role.scu_role, role.scp_role = ANY_OTHER, True, True
    extended, identity = SOPClassExtendedNegotiation(), UserIdentityNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = ANY_OTHER, b"\2\0\3\0\1\0"
    identity.user_identity_type, identity.primary_field = 1, b"someone"
    identity.positive_response_requested = True
    ae = AE(ae_title="CART")
    ae.add_requested_context(ANY_OTHER, EXPLICIT)
    offered = [window, role, extended, identity]
    assoc = ae.associate("127.0.0.1", receiver.port, ae_title="ECHONODE", ext_neg=offered)
    assert assoc.is_established
    answered = assoc.acceptor
    assert f"{answered.maximum_length} bytes" == policies["maximum length of a received PDU"]
    assert str(answered.implementation_class_uid) == policies["implementation class UID"]
    assert answered.implementation_version_name == policies["implementation version name"]
    assert answered.asynchronous_operations == (1, 1)
    assert answered.role_selection == {}
    assert answered.sop_class_extended == {}
    assert answered.user_identity is None
    assoc.release()


@pytest.mark.peer("echoscu")
def test_dcmtk_is_told_the_same_implementation(text, receiver):
    policies = dict(rows(text, "4.2.1.2 Association policies"))
    done = subprocess.run(
        ["/usr/bin/echoscu", "-d", "-aec", "ECHONODE", "127.0.0.1", str(receiver.port)],
        check=True,
        capture_output=True,
        text=True,
    )
    told = done.stdout + done.stderr
    answer = told[told.index("A-ASSOCIATE-AC") :]
    assert re.search(r"Their Implementation Class UID: +(\S+)", answer)[1] == policies["implementation class UID"]
    assert re.search(r"Their Max PDU Receive Size: +(\S+)", answer)[1] == str(Config().receive.pdu_kib << 10)


@pytest.fixture(scope="module")
def proposals(tmp_path_factory):
    """What a deliverer proposes, association by association, to an archive that refuses what has an older form."""
    seen, port, folder = [], free_port(), tmp_path_factory.mktemp("deliverer")
    ae = AE(ae_title="ARCHIVE")
    refused = {pick(example.full(1), kind).SOPClassUID for kind in FALLBACKS}
    for context in AllStoragePresentationContexts:
        if context.abstract_syntax not in refused:
            ae.add_supported_context(str(context.abstract_syntax))
    handlers = [
        (evt.EVT_REQUESTED, lambda event: seen.append(event.assoc.requestor)),
        (evt.EVT_C_STORE, lambda _: 0),
    ]
    destination = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port}
    config = Config.model_validate({"deliver": {"destinations": [destination]}})
    (to,) = config.deliver.destinations
    clock = Clock()
    store = queued(config, folder, clock)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        while deliver_once(store, config, to, now=clock, rng=random.Random(1)):
            pass
        assert {delivery.state for delivery in store.deliveries(STUDY)} == {DeliveryState.SENT}
    finally:
        server.shutdown()
        store.dispose()
    return seen


def queued(config: Config, folder: Path, clock: Clock) -> Store:
    """A store with all that its one destination can be sent."""
    store = Store(f"sqlite:///{folder / 'node.db'}", folder, now=clock)
    store.migrate()
    store.keep(received(store, job=None))
    clock.pass_(120)
    store.close_studies(POLICY)
    job = store.lease([JobKind.STUDY], "w", 60)
    assert job is not None
    case = example.full(1)
    made = [pick(case, kind) for kind in wanted(config)]
    rejection = pick(case, ObjectKind.REJECTION)
    (to,) = config.deliver.destinations
    store.complete_study(job, [*made, rejection], [*addressed(made, config), (to.name, rejection)])
    return store


def test_the_deliverer_proposes_what_is_listed(text, proposals):
    proposed = {
        (context.abstract_syntax, syntax)
        for requestor in proposals
        for context in requestor.primitive.presentation_context_definition_list
        for syntax in context.transfer_syntax
    }
    assert proposed == {(row[2], row[4]) for row in rows(text, "Table 4.2-7")}
    policies = dict(rows(text, "4.2.2.2 Association policies"))
    for requestor in proposals:
        assert f"{requestor.maximum_length} bytes" == policies["maximum length of a received PDU"]
        assert str(requestor.implementation_class_uid) == policies["implementation class UID"]
        assert requestor.extended_negotiation == []


@pytest.mark.parametrize("called", ["ECHONODE", "SENDER", "OTHER"])
def test_an_archive_is_let_in_as_told(tmp_path, called):
    """By the node's title or the sender's, where every place is taken, on a full disk; never while it stops."""
    peers = (scu.Peer(ae_title="PACS", host="127.0.0.1", port=1),)
    archives = Archives(peers=peers, calling_ae="SENDER", on_result=lambda *_: None)
    gate = Gate(Receive(carts=(), max_associations=1, min_free_disk_mib=1 << 40), tmp_path, archives)
    who = {"calling": "PACS", "called": called, "host": "127.0.0.1", "active": 2}
    assert (gate.rejection(**who) is None) == (called != "OTHER")
    gate.is_open = False
    assert gate.rejection(**who)[0] == LOCAL_LIMIT_EXCEEDED
