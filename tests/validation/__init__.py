"""Everything that the node sends of a varied set of exams, held against validators that others wrote.

``make validate`` shows the table; ``test_validation.py`` is the same in the suite.
"""
