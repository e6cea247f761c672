"""Every exception that the node raises on purpose.

::

    EchoNodeError
    ├── ConfigError            config.yaml cannot be used: file, line, key and what is allowed
    ├── ReasonedError          an object is kept and not used; carries a coded reason
    │   ├── ClipError          it cannot be read as a clip
    │   └── CorrectionError    a person's correction is not taken
    ├── EngineError            an engine package or its backend cannot be used
    │   └── ManifestError      the manifest does not fit its files or graphs
    ├── StoreError             the spool or the database refuses
    │   ├── LeaseLost          the job's lease ran out and another worker has it
    │   └── DiskFull           the disk is under its watermark or full
    ├── DamagedError           what was kept is lost or damaged: trying again later does not help
    ├── LabelError             a user's labelled data cannot be used: file, line, column and what is allowed
    ├── DecisionError          a person's acceptance, rejection, release or acknowledgement cannot be taken
    ├── ReportError            a DICOM object cannot be written from the records
    └── DeliveryError          a destination did not take an object
        ├── DeliveryRefused    it answered with a failure that a retry cannot mend
        │   └── ClassRefused   it takes no objects of this SOP class, or not as they are coded
        └── DeliveryUnreachable  no association, time-out, or a failure worth a retry
            ├── AssociationRejected  there is somebody, who takes no association from us
            └── ProcessingFailed     it does not say why: it may pass, or be of the transfer syntax

Messages carry no patient data: UIDs, tags, numbers and paths only.
"""

from __future__ import annotations

from echo_node.codes import Reason


class EchoNodeError(Exception):
    """Root of the node's own exceptions."""


class ConfigError(EchoNodeError):
    """config.yaml cannot be used."""


class ReasonedError(EchoNodeError):
    """An object is kept and not used, for a coded reason.

    Parameters
    ----------
    reason : Reason
        The coded reason that stands in the instance's row.
    detail : str
        What was wrong and where, without patient data.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.code.meaning}: {detail}")
        self.reason = reason
        self.detail = detail


class ClipError(ReasonedError):
    """An object cannot be read as a clip."""


class CorrectionError(ReasonedError):
    """A person's correction is not taken."""


class EngineError(EchoNodeError):
    """An engine package or its backend cannot be used."""


class ManifestError(EngineError):
    """The manifest does not fit its files or graphs."""


class StoreError(EchoNodeError):
    """The spool or the database refuses."""


class LeaseLost(StoreError):
    """The job's lease ran out and another worker has it."""


class DiskFull(StoreError):
    """The disk is under its watermark or full."""


class DamagedError(EchoNodeError):
    """What was kept is lost or damaged: trying again later does not help."""


class LabelError(EchoNodeError):
    """A user's labelled data cannot be used."""


class DecisionError(EchoNodeError):
    """A person's word cannot be taken; the message may name who decided before."""


class ReportError(EchoNodeError):
    """A DICOM object cannot be written from the records."""


class DeliveryError(EchoNodeError):
    """A destination did not take an object."""


class DeliveryRefused(DeliveryError):
    """The destination answered with a failure that a retry cannot mend."""


class ClassRefused(DeliveryRefused):
    """The destination takes no objects of this SOP class, or not as they are coded."""


class DeliveryUnreachable(DeliveryError):
    """No association, a time-out, or a failure worth a retry."""


class AssociationRejected(DeliveryUnreachable):
    """There is somebody, who takes no association from us."""


class ProcessingFailed(DeliveryUnreachable):
    """The destination failed and does not say why: it may pass, or be of the transfer syntax."""
