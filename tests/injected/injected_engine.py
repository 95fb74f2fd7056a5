"""The engines that ``sitecustomize`` puts into a worker: one that follows a script, and one that adds faults."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from wrong_kernels import wrong_kernel

from gaudi_perf.accelerators.base import Engine
from gaudi_perf.generation.prompts import Prompt
from gaudi_perf.protocol import MARK, GroupSpec, Variant
from gaudi_perf.vocabulary.run import TokenTrace
from gaudi_perf.vocabulary.stack import Device, Stack
from gaudi_perf.vocabulary.workload import FIXED_PROMPT_IDS


def words(variant: Variant) -> set[str]:
    return {"graphs" if variant.graphs else "eager", "kvcache" if variant.kv_cache else "nocache"}


class SimulatedClock:
    """A clock that only scripted generations advance."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now_ns(self) -> int:
        return round(self._seconds * 1e9)

    def advance(self, seconds: float) -> None:
        self._seconds += seconds


SIMULATED_CLOCK = SimulatedClock()


class ScriptedEngine(Engine):
    """Generates nothing, in the scripted time, without torch. Runs and rounds differ by a few thousandths."""

    def __init__(self, script: dict[str, Any]) -> None:
        self._script = script
        group = "/".join(os.environ.get(MARK, "").split("/")[-2:])
        self._random = random.Random(f"{script['seed']} {group}" if "seed" in script else os.getpid())
        self._spread = script.get("spread", 0.003)
        self._run = self._random.gauss(1, self._spread)
        self._variant: Variant | None = None
        self._drifts = False
        self._generations = 0

    def import_for_ranks(self) -> None:
        import torch.distributed  # noqa: F401

        if os.environ.get("DS_ACCELERATOR") == "hpu":
            import habana_frameworks.torch.distributed.hccl  # noqa: F401  (registers hccl)

    def load(self, group: GroupSpec, progress: Any) -> None:
        progress("scripted weights")
        if "drift" in self._script:
            loads = Path(self._script["count_loads"]).read_text().splitlines()
            self._drifts = len(loads) in self._script["drift"]["loads"]
        meet()

    def prompt(self) -> Prompt:
        return Prompt(ids=list(FIXED_PROMPT_IDS), tokenization_s=None)

    def prompt_of(self, text: str, tokens: int) -> Prompt:
        return Prompt(ids=[5] * tokens, tokenization_s=None)

    def device(self) -> Device:
        return Device(name="cpu", accelerator="cpu")

    def stack(self) -> Stack:
        return Stack(kind="torch", version=self._script.get("stack_version", "2.13.0"), components={"script": "1"})

    def prepare(self, variant: Variant) -> None:
        self._variant = variant

    def generate(self, prompts: list[list[int]], on_token: Any = None) -> list[list[int]]:
        assert self._variant is not None
        seconds = self._script.get("seconds", {})
        duration = max([seconds[word] for word in words(self._variant) if word in seconds], default=0.030)
        slower = [entry["by"] for entry in self._script.get("slower", []) if set(entry["when"]) <= words(self._variant)]
        duration *= (1 + sum(slower)) * self._run * self._random.gauss(1, 0.003) * self._of_rank()
        if self._drifts and set(self._script["drift"]["when"]) <= words(self._variant):
            self._generations += 1
            duration *= (1 + self._script["drift"]["by"]) ** self._generations
        count = self._variant.new_tokens
        take = wait if self._script.get("sleep") else SIMULATED_CLOCK.advance
        meet()
        if "slow_rank" in self._script:
            duration = slowest(duration)
        if on_token is None:
            take(duration)
        else:
            slow = self._script.get("slow_first_token", {"when": ["nothing"], "by": 0.0})
            for number in range(count):
                late = number == 0 and set(slow["when"]) <= words(self._variant)
                take(duration / count * (1 + (slow["by"] if late else 0.0)))
                on_token()
        return [[number + self._shift() for number in range(1, count + 1)]]

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        assert self._variant is not None
        (wait if self._script.get("sleep") else SIMULATED_CLOCK.advance)(0.030)
        return [[(sum(ids) + number) % 2048 for number in range(self._variant.new_tokens)] for ids in prompts]

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        SIMULATED_CLOCK.advance(0.002 * self._random.gauss(1, 0.003) * self._of_rank())
        return True

    def synchronize(self) -> None: ...

    def _shift(self) -> int:
        assert self._variant is not None
        shifts = self._script.get("outputs", [])
        return sum(entry["shift"] for entry in shifts if set(entry["when"]) <= words(self._variant))

    def trace(self, prompts: list[list[int]], token_ids: list[list[int]], plain: bool) -> list[TokenTrace]:
        if "outputs" not in self._script:
            return []
        steps, shift = len(token_ids[0]), self._shift()
        samples = [[random.Random(f"{step} {at} {shift}").gauss(0, 1) for at in range(64)] for step in range(steps)]
        trace = TokenTrace(
            token_ids=token_ids[0],
            likeliest=[[step + 1 + shift, 9999] for step in range(steps)],
            logits=[[9.0, 1.0]] * steps,
            followed=[9.0] * steps,
            spread=[1.0] * steps,
            magnitude=[1.0] * steps,
            sample=samples,
        )
        return [trace]

    def _of_rank(self) -> float:
        slow = self._script.get("slow_rank", {"rank": -1, "by": 0.0})
        return 1 + slow["by"] if str(slow["rank"]) == os.environ.get("RANK", "0") else 1.0

    def reset_peak_memory(self) -> None: ...

    def peak_memory_bytes(self) -> int | None:
        return self._script.get("memory", 1_000_000)


class InjectedEngine(Engine):
    """Passes everything on to an engine, and adds what is injected."""

    def __init__(self, inner: Any, injected: dict[str, Any]) -> None:
        self._inner = inner
        self._injected = injected
        self._generations = 0
        self._wrong: Any = nullcontext

    def import_for_ranks(self) -> None:
        self._fault("import")
        self._inner.import_for_ranks()

    def load(self, group: GroupSpec, progress: Any) -> None:
        if "count_loads" in self._injected:
            with Path(self._injected["count_loads"]).open("a") as file:
                file.write(f"{group.model} {group.devices}\n")
        self._fault("load")
        self._inner.load(group, progress)
        self.unquantized = self._inner.unquantized

    def prepare(self, variant: Variant) -> None:
        self._fault("prepare")
        self._generations = 0
        self._wrong = wrong_kernel(self._injected.get("wrong"), words(variant))
        self._inner.prepare(variant)

    def generate(self, prompts: list[list[int]], on_token: Any = None) -> list[list[int]]:
        self._fault("generate")
        self._generations += 1
        with self._wrong():
            tokens = self._inner.generate(prompts, on_token)
        self._fault("lag")
        return tokens

    def trace(self, prompts: Any, token_ids: Any, plain: bool) -> Any:
        everywhere = self._injected.get("wrong", {}).get("everywhere", False)  # in the plain pass, too
        with nullcontext() if plain and not everywhere else self._wrong():
            return self._inner.trace(prompts, token_ids, plain)

    def pass_alone(self, prompt_ids: list[int]) -> bool:
        return self._inner.pass_alone(prompt_ids)

    def complete(self, prompts: list[list[int]]) -> list[list[int]]:
        with self._wrong():
            return self._inner.complete(prompts)

    def prompt(self) -> Prompt:
        return self._inner.prompt()

    def prompt_of(self, text: str, tokens: int) -> Prompt:
        return self._inner.prompt_of(text, tokens)

    def device(self) -> Device:
        return self._inner.device()

    def stack(self) -> Stack:
        return self._inner.stack()

    def synchronize(self) -> None:
        self._inner.synchronize()

    def reset_peak_memory(self) -> None:
        self._inner.reset_peak_memory()

    def peak_memory_bytes(self) -> int | None:
        return self._inner.peak_memory_bytes()

    def graph_compilation(self) -> Any:
        return self._inner.graph_compilation()

    def begin_rounds(self) -> None:
        self._inner.begin_rounds()

    def problems(self) -> list[str]:
        return self._inner.problems()

    def _fault(self, phase: str) -> None:
        fault = self._injected.get("fault")
        if fault is None or fault["phase"] != phase or self._generations < fault.get("after", 0):
            return
        if str(fault.get("rank", 0)) != os.environ.get("RANK", "0"):
            return
        if fault["kind"] == "lag":
            return wait(fault["seconds"])
        print(f"injected: {fault['kind']} in {phase}", flush=True)
        if fault["kind"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault["kind"] == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif fault["kind"] == "hang":
            time.sleep(3600)
        elif fault["kind"] in ("exit", "slow exit"):
            if fault["kind"] == "slow exit":  # its agent sees no more output, and no end yet
                os.close(1), os.close(2)
                time.sleep(1)
            os._exit(3)
        raise RuntimeError("injected failure")


def meet() -> None:
    """Wait for the other ranks, if there are any, as a model's collectives do."""
    if "RANK" in os.environ:
        import torch.distributed as dist

        dist.barrier()


def slowest(seconds: float) -> float:
    """What takes each rank so long, where all wait for the slowest in every layer."""
    import torch
    import torch.distributed as dist

    longest = torch.tensor([seconds], dtype=torch.float64)
    dist.all_reduce(longest, op=dist.ReduceOp.MAX)
    return float(longest)


def wait(seconds: float) -> None:
    """Wait exactly: asleep but for the end, since other load takes the core from a busy process, not from a sleeper."""
    until = time.perf_counter() + seconds
    time.sleep(max(0.0, seconds - 0.0005))
    while time.perf_counter() < until:
        pass
