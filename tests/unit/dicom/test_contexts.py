"""In which transfer syntax a cart sends, when it leaves that to the node."""

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    UltrasoundMultiFrameImageStorage,
)
from pynetdicom import build_context
from pynetdicom.presentation import negotiate_as_acceptor

from echo_node.dicom.contexts import storage_contexts

JPIPReferenced = "1.2.840.10008.1.2.4.94"
NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


@pytest.mark.parametrize(
    ("proposed", "accepted"),
    [
        # a cart that would decompress for us
        ([[ImplicitVRLittleEndian, JPEGBaseline8Bit]], [JPEGBaseline8Bit]),
        # DCMTK's dcmsend: one context without compression, one for each that its files have
        ([NATIVE, [JPEGLosslessSV1, *NATIVE]], [ExplicitVRLittleEndian, JPEGLosslessSV1]),
        ([[JPEGLosslessSV1, JPEGBaseline8Bit]], [JPEGLosslessSV1]),
        ([[DeflatedExplicitVRLittleEndian, *NATIVE]], [DeflatedExplicitVRLittleEndian]),
        # its pixels stay behind, and an object without them is of no use
        ([[JPIPReferenced, *NATIVE]], [ExplicitVRLittleEndian]),
        ([[JPIPReferenced], ["1.2.3.4"]], [JPIPReferenced, "1.2.3.4"]),
    ],
)
def test_what_is_stored_compressed_is_taken_compressed(proposed, accepted):
    contexts = [build_context(UltrasoundMultiFrameImageStorage, syntaxes) for syntaxes in proposed]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    answered, _ = negotiate_as_acceptor(contexts, storage_contexts(contexts))
    assert [context.transfer_syntax for context in answered] == [[syntax] for syntax in accepted]
