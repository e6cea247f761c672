"""How good an engine is: labelled clips through the code that serves, and what came of them in figures.

A source of cases (:mod:`.phantoms`, or a folder's reader) gives clips with what is true of them; the engine
answers (:mod:`.answers`); from the answers, which hold no pixels, follow sub-tasks, subgroups, calibration
and refusal (:mod:`.results`), and from those the table and the plots.
"""
