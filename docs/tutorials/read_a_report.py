"""
read_a_report
====================

Text.
"""

print(1)
