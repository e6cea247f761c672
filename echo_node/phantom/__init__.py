"""Simulated patients: a moving heart, the physics that makes an ultrasound image of it, exact truth.

The heart is a set of implicit solids in heart coordinates (mm): the origin lies where the mitral
annulus plane is at end diastole, +z points to the apex, +x to the lateral wall, +y to the front.
Numerical work runs on any array API namespace, NumPy in the node and torch for training.
"""

from echo_node.phantom.clips import SimulatedClip, simulate_clip
from echo_node.phantom.heart import Patient, sample_patient
from echo_node.phantom.screen import Screen, sample_screen
from echo_node.phantom.stills import simulate_still

FORM = "septa-2"  # of all that is rendered: what is kept of another form is rendered anew

__all__ = [
    "FORM",
    "Patient",
    "Screen",
    "SimulatedClip",
    "sample_patient",
    "sample_screen",
    "simulate_clip",
    "simulate_still",
]
