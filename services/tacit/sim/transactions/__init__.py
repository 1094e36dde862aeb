"""The product's own generator of card transactions: seeded, vectorised, per bank.

It is a simulation. Its parameters were fixed from what is plausible, before any model saw its output, and are
listed with units and reasons in ``docs/generator.md``. Figures reached on it say how the product behaves, not
how much fraud a real bank would catch.
"""

from tacit.sim.transactions.generate import FILE, MAPPING, MAPPING_FILE, generate, write
from tacit.sim.transactions.visits import FraudKind
from tacit.sim.transactions.world import BankPlan, Drift, FraudRates, Habits, World, WorldError, default_demo_world

__all__ = [
    "FILE",
    "MAPPING",
    "MAPPING_FILE",
    "BankPlan",
    "Drift",
    "FraudKind",
    "FraudRates",
    "Habits",
    "World",
    "WorldError",
    "default_demo_world",
    "generate",
    "write",
]
