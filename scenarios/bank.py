"""Money made or lost: transfers between accounts, each under two byte-range locks."""

from ctypes import Structure, c_int64

from lab import Damage, Outcome, Scenario, Worker

ACCOUNTS = 4


def transfer(worker: int, round: int) -> tuple[int, int]:
    """Return the two accounts of a transfer, never the same: computed, so that the check knows every transfer."""
    source = (worker + round) % ACCOUNTS
    return source, (source + 1 + round % (ACCOUNTS - 1)) % ACCOUNTS


class Bank(Scenario):
    """Move 1 from account to account, locking the lower one first; the sum and every balance must hold."""

    order = 3
    after_crash = {"kill": "damaged", "power": "damaged"}
    rounds = 1_000
    holds_per_round = 2
    pin = "one"  # and pause inside the locks: most requests meet a transfer that is half done

    class Memory(Structure):
        _fields_ = [("balances", c_int64 * ACCOUNTS)]

    def work(self, w: Worker) -> None:
        source, target = transfer(w.index, w.round)
        first, second = sorted((source, target))
        w.pause()
        with w.write_lock(self.Memory.balances, first), w.write_lock(self.Memory.balances, second):
            balances = w.memory.balances
            poorer, richer = balances[source] - 1, balances[target] + 1
            w.pause()
            balances[source], balances[target] = poorer, richer

    def invariant(self, memory: Memory) -> Damage | None:
        total = sum(memory.balances)
        return Damage("balance off", 1, 1, [f"the sum of all balances is {total}"]) if total else None

    def check(self, memory: Memory, outcome: Outcome) -> Damage:
        expected = [0] * ACCOUNTS
        for worker, rounds in enumerate(outcome.by_worker):
            for round in range(rounds):
                source, target = transfer(worker, round)
                expected[source] -= 1
                expected[target] += 1
        wrong = [found - meant for found, meant in zip(memory.balances, expected, strict=True)]
        evidence = [f"balances are off by {wrong}, their sum by {sum(wrong)}"]
        return Damage("balance off", min(outcome.rounds, sum(map(abs, wrong))), outcome.rounds, evidence)
