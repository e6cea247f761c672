"""Masks and points to numbers: volumes by the method of disks, beats, EF, walls, mass, plausibility.

References
----------
Lang RM et al. Recommendations for cardiac chamber quantification by echocardiography in adults.
J Am Soc Echocardiogr 2015;28:1-39 (method of disks, walls, mass, normal values).
"""
