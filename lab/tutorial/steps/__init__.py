"""The steps of the tour, in the tutorial's order."""

from .files import ACCESS_STEPS, OPENING_STEPS, PAGE_STEPS
from .persistence import PERSISTENCE_STEPS
from .processes import ENDING_STEPS, FILE_STEPS, LOCKING_STEPS, SHARING_STEPS

STEPS = (
    *OPENING_STEPS,
    *PAGE_STEPS,
    *ACCESS_STEPS,
    *FILE_STEPS,
    *ENDING_STEPS,
    *SHARING_STEPS,
    *LOCKING_STEPS,
    *PERSISTENCE_STEPS,
)
