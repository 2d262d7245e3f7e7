"""Layer 4: watch a program: preload the library that records its calls, read the logs, name the lines.

`lab.analysis.lock_use` judges what was recorded; nothing here decides what is wrong.
"""
