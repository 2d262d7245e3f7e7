"""Layer 1: histories of calls on one object, and whether an order of the calls explains all their results.

It is pure: a history is a list of `Call`, an object is a class with a method a call (`models`), and `judge` says
whether the history is linearizable. `exact` answers where values tell the writers apart, `search` everywhere.
"""
