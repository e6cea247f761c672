"""Masks to numbers: volumes by the method of disks, beats, ejection fraction, plausibility.

References
----------
Lang RM et al. Recommendations for cardiac chamber quantification by echocardiography in adults.
J Am Soc Echocardiogr 2015;28:1-39 (method of disks, normal values).
"""
