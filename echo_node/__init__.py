"""echo-node: an inference node for echocardiography between the carts and the PACS.

A cart's C-STORE becomes bytes on disk and a row in a database; a study's clips become views,
masks and measurements; those become DICOM objects that wait in an outbox until the PACS has them.
"""

__version__ = "0.1.0"
