"""The controller's side of CUDA: what nvidia-smi lists, and why a case cannot run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.cuda.accelerator import CudaAccelerator
from gaudi_perf.accelerators.cuda.devices import device_slug, visible
from gaudi_perf.accelerators.cuda.steps import STEP, step_name
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.models import shipped_model
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.matrix import why_not

BLOOMZ_7B = shipped_model("bloomz7b").full
ROWS = [["0", "GPU-aaaa-1", "NVIDIA H100 80GB HBM3", "81559"], ["1", "GPU-bbbb-2", "NVIDIA H100 80GB HBM3", "81559"]]
GROUP = GroupSpec(engine="cuda", model="bloomz7b", devices=1, scale="full", dtype="bfloat16")


def case(devices: int = 1, model: str = "bloomz7b", graphs: bool = True) -> Case:
    configuration = Configuration(model=model, devices=devices, graphs=graphs, kv_cache=True)
    return Case(configuration=configuration, accelerator="cuda", workload=Workload(), scale="full")


def nvidia_smi(directory: Path, output: str, status: int = 0) -> None:
    program = directory / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{output}\nEND\nexit {status}\n")
    program.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory of programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv(STEP, raising=False)
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


def test_no_nvidia_smi_is_no_gpu_in_one_sentence(path: Path) -> None:
    accelerator = accelerator_named("cuda")
    assert accelerator.find() is None
    reason = accelerator.why_none()
    assert reason.startswith("no NVIDIA GPU found: nvidia-smi is not there or lists none (") and "\n" not in reason


@pytest.mark.parametrize(("output", "status"), [("No devices were found", 0), ("", 9), ("a,b", 0)])
def test_whatever_nvidia_smi_says_there_is_no_gpu(output: str, status: int, path: Path) -> None:
    nvidia_smi(path, output, status)
    assert CudaAccelerator().find() is None


def test_a_gpu_that_is_lost_hides_no_other(path: Path) -> None:
    lost = "Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost.  Reboot the system"
    nvidia_smi(path, ", ".join(ROWS[1]) + "\n" + lost, status=15)
    found = CudaAccelerator().find()
    assert found is not None and found.count == 1


def test_gpus_are_those_that_are_shown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(path, "\n".join(", ".join(row) for row in ROWS))
    found = CudaAccelerator().find()
    assert found is not None
    assert (found.name, found.count, found.memory_bytes) == ("h100-80gb", 2, 81559 * 2**20)
    assert accelerator_named("auto").name == "cuda"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    one = CudaAccelerator().find()
    assert one is not None and one.count == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert CudaAccelerator().find() is None
    assert accelerator_named("auto").name == "cpu"


@pytest.mark.parametrize(
    ("shown", "indices"),
    [
        (None, ["0", "1"]),
        ("1,0", ["1", "0"]),
        ("GPU-bbbb", ["1"]),
        ("0,7,1", ["0"]),
        ("-1", []),
        ("", []),
        ("MIG-cccc", ["0"]),
        ("MIG-cccc,MIG-dddd", ["0"]),
        ("0,MIG-cccc", ["0"]),
    ],
)
def test_cuda_visible_devices(shown: str | None, indices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert [row[0] for row in visible(ROWS)] == indices


def test_memory_that_is_not_reported_is_not_known(path: Path) -> None:
    nvidia_smi(path, "0, GPU-1, NVIDIA GB10, [N/A]")
    found = CudaAccelerator().find()
    assert found is not None and (found.name, found.memory_bytes) == ("gb10", None)


@pytest.mark.parametrize(
    ("product", "slug"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA H200", "h200"),
        ("Tesla V100-SXM2-16GB", "tesla-v100-sxm2-16gb"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "a100-sxm4-80gb-mig-1g.10gb"),
        ("../..", "gpu"),
    ],
)
def test_names_of_gpus_for_documents(product: str, slug: str) -> None:
    assert device_slug(product) == slug


def test_too_few_gpus_are_reported_in_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(path, "\n".join(", ".join(row) for row in ROWS))
    accelerator = CudaAccelerator()
    assert why_not(case(devices=2, graphs=False), BLOOMZ_7B, accelerator, accelerator.find()) == ""
    assert why_not(case(devices=8), BLOOMZ_7B, accelerator, accelerator.find()) == "needs 8 devices, found 2"
    assert "352 GB of weights do not fit in 1 x 86 GB" in why_not(
        case(model="bloomz176b"), shipped_model("bloomz176b").full, accelerator, accelerator.find()
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aaaa,MIG-bbbb")
    assert why_not(case(devices=2), BLOOMZ_7B, accelerator, accelerator.find()) == "needs 2 devices, found 1", (
        "of parts, CUDA: one"
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "2 GPUs need DeepSpeed, which is not installed: pip" in accelerator.cannot_run(False, 2)
    assert accelerator.cannot_run(False, 1) == ""


def test_compiled_graphs_need_triton_and_a_c_compiler(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accelerator = CudaAccelerator()
    installed: list[str] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed else None)
    assert f"{STEP}=fused-decode-compiled need Triton" in accelerator.cannot_run(True, 1)
    installed.append("triton")
    assert "install gcc" in accelerator.cannot_run(True, 1)
    assert accelerator.cannot_run(False, 1) == ""
    (path / "gcc").write_text("#!/bin/sh\n")
    (path / "gcc").chmod(0o755)
    assert accelerator.cannot_run(True, 1) == ""
    (path / "gcc").unlink()
    monkeypatch.setenv(STEP, "fused-decode")
    assert accelerator.cannot_run(True, 1) == "", "kernels as they are need neither"


def test_the_step_is_one_of_four(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CudaAccelerator().environment(GROUP, path)[STEP] == "fused-decode-compiled"
    monkeypatch.setenv(STEP, "fused-decode")
    assert CudaAccelerator().environment(GROUP, path)[STEP] == step_name() == "fused-decode"
    monkeypatch.setenv(STEP, "cold")
    with pytest.raises(
        UserError,
        match=f"{STEP}=cold: set it to one of transformers, transformers-compiled, fused-decode, fused-decode-compiled",
    ):
        CudaAccelerator().environment(GROUP, path)


def test_devices_are_numbered_as_nvidia_smi_does(path: Path) -> None:
    assert CudaAccelerator().environment(GROUP, path)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_the_controller_s_side_imports_no_torch() -> None:
    code = (
        "import sys; from gaudi_perf.accelerators import accelerator_named\n"
        "accelerator_named('cuda').find()\n"
        "print([name for name in ('torch', 'transformers', 'pynvml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
